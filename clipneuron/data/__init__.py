"""Collections of pictures and pools of texts, wherever they lie."""
