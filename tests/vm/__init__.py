"""The ARM64 virtual machine of the tests."""
