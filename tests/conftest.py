"""Fixtures that every test may use, and the order in which files are run."""

import gc
import os
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from remembered import remember

from recpoison.data.interactions import Interactions, Scale
from recpoison.data.splitting import Split
from recpoison.seeds import Seeds

# Files that take longest, longest first: what several processes share must not end with a long one.
LONG = (
    "contracts/test_on_device.py",
    "test_configs.py",
    "contracts/test_attacks.py",
    "sweeps/test_sweep.py",
    "test_examples.py",
    "test_train_attack_eval.py",
    "contracts/test_idle.py",
    "sweeps/test_searching.py",
    "command/test_strangers.py",
    "contracts/test_models.py",
    "report/test_published.py",
    "published/test_paper_constants.py",
    "training/test_edge_meta_gradient.py",
    "test_api.py",
    "report/test_command.py",
    "report/test_presets.py",
    "command/test_understanding.py",
    "report/audit/test_page.py",
    "command/test_typed.py",
    "sweeps/test_undefined.py",
    "test_shelf.py",
    "test_descriptions.py",
    "contracts/test_defenses.py",
    "training/test_triton_epoch.py",
    "attacks/test_bilevel_lightgcn.py",
    "sweeps/test_workers.py",
    "claims/test_command.py",
    "command/test_grid.py",
    "training/test_adversarial.py",
    "contracts/test_embedding_attacks.py",
    "report/test_fake_users.py",
    "published/test_presets.py",
)
_PLACE = {str(Path(__file__).parent / name): place for place, name in enumerate(LONG)}


def pytest_configure(config: pytest.Config) -> None:
    """Have xdist take files in our order, and keep compiled Python where the environment forbids it beside the code.

    Else each process that a test starts would compile all of the package again, a second of each.
    """
    remember()
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    if sys.dont_write_bytecode and "PYTHONPYCACHEPREFIX" not in os.environ:
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(platformdirs.user_cache_path("recpoison") / "bytecode")
        del os.environ["PYTHONDONTWRITEBYTECODE"]
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


def pytest_collection(session: pytest.Session) -> None:
    """Leave Python's collector out while modules are imported: nearly all of what they make stays."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have it look at what tests make alone, and not as often as each of their configurations asks for."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the others stay as they were found."""
    items.sort(key=lambda item: _PLACE.get(str(item.path), len(_PLACE)))


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
