"""Adversarial pictures made of neurons' words (Sec. 5.1), Table 3, the review, and the way back to neurons."""
