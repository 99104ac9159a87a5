"""Train a recommender, attack it, defend it, and measure what happened."""

from recpoison.compiled import keep_compiled_code

__version__ = "0.1.0"

keep_compiled_code()
