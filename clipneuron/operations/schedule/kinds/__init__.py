"""What runs a schedule, a module per scheduler."""
