"""Attribution: which patches of a picture speak for a class, by every method that the paper compares (Table 4)."""
