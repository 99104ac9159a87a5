"""Numbers printed in papers, and the runs they stand for."""
