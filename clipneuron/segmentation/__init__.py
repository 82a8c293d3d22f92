"""Attribution maps as segmentations (Sec. 5.3): second order and its rivals on one harness, and on single pictures."""
