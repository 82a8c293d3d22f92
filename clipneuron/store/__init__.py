"""What is on disk: table schemas, the store and its commits, picture collections and text pools."""
