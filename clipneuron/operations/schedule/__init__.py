"""Schedules: cron expressions, what runs them, and what makes overlapping and repeated runs safe."""
