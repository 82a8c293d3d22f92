"""Language models: chat, and which words mean the same."""
