"""What a platform engineer does with runs: submit, schedule, compare, account."""
