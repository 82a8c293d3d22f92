"""Objects under keys, on disk or on S3, behind one protocol."""
