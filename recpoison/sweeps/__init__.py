"""Many runs from one command: the sweep and its plan."""
