"""What several reports share: verdicts, estimates, drawing."""
