"""What runs took: their use of cores, GPUs and storage, and the notice at the end of one."""
