"""How the demo model's weights were made."""
