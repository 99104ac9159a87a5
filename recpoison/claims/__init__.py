"""Claims: a command, a number and an interval, which anybody can verify; ten of our own lie in ``ours``."""
