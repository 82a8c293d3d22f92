"""What words say of neurons and pictures, and how true it is."""
