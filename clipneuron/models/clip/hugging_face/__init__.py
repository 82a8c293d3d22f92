"""Models of Hugging Face: what is fetched from its hub, CLIPModel as an open_clip network, its tokenizer."""
