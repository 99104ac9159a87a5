"""Fixtures that every test may use."""

import os
from pathlib import Path

import numpy as np
import pytest

from recpoison.data.interactions import Interactions, Scale
from recpoison.data.splitting import Split
from recpoison.seeds import Seeds


@pytest.fixture
def seeds() -> Seeds:
    return Seeds(0)


@pytest.fixture
def data_dir() -> Path:
    """Folder of real datasets; tests that need it skip where it is not set."""
    folder = os.environ.get("RECPOISON_DATA")
    if not folder:
        pytest.skip("RECPOISON_DATA is not set: no real data to test on")
    return Path(folder)


@pytest.fixture
def tiny_explicit() -> Interactions:
    """4 users x 5 items rated 1 to 5; items 3 and 4 are unrated. Item means 5, 3, 1; overall mean 3."""
    users = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    items = np.array([0, 1, 2, 0, 2, 0, 2, 1])
    values = np.array([5.0, 3, 1, 5, 1, 5, 1, 3])
    return Interactions(users, items, values, 4, 5, Scale(1, 5, 1))


def planted_blocks(n: int = 40) -> Split:
    """Even users like even items, odd users odd ones; the diagonal is held out, and the last item belongs to nobody.

    The held-out answer for user u is item u; item n (the target of attacks) has no row at all.
    """
    users, items = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    same = (users % 2) == (items % 2)
    train = same & (users != items)
    ones = np.ones(train.sum())
    held = np.arange(n)
    return Split(
        Interactions(users[train], items[train], ones, n, n + 1),
        Interactions(held, held, np.ones(n), n, n + 1),
    )


@pytest.fixture
def planted() -> Split:
    return planted_blocks()


@pytest.fixture
def sparse() -> Interactions:
    """29 users x 23 items; batches of 4 with 3 negatives leave most rows out and repeat some."""
    users, items = np.nonzero(np.random.default_rng(0).random((29, 23)) < 0.2)
    return Interactions(users, items, np.ones(len(users)), 29, 23)
