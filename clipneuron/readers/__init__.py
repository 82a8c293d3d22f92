"""What stages read: pictures as pixels, stored tables as tensors."""
