"""From a command line to a job on a cluster, followed to its end, or to a script for Slurm."""
