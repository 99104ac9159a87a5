"""Train a recommender, attack it, defend it, and measure what happened."""

__version__ = "0.1.0"
