"""What is known about users, items and edges, and how it is read, filtered and split."""
