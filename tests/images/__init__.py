"""The reference images of the tests and benchmarks."""
