"""Power cuts: writes of a virtual machine replayed up to any point, and machines killed at any time."""
