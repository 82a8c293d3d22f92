"""The commands of those who keep runs going: submit, jobs, schedule, runs, compare, usage, cluster."""
