"""What is computed once: the stages of a run, the store that keeps them, its locks and its upkeep."""
