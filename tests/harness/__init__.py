"""What the system tests, the virtual machine, the reference images and the benchmarks share."""
