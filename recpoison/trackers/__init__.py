"""Other programs that a run's numbers are sent to, once its files are written."""
