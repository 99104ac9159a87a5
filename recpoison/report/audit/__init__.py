"""From the runs of a security curve to a verdict that an engineer can read."""
