"""Parquet files of pictures: which rows are pictures, and reading them."""
