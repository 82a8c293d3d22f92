"""Pictures in tars, as WebDataset names them: listed from the tars' headers, read in place."""
