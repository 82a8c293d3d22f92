"""From cards to HTML, and to PNG."""
