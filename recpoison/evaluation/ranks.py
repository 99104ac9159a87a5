"""Where every held-out and target item stands for every real user: the one look from which all metrics follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.algebra.current import free_memory
from recpoison.data.arrays import save_arrays
from recpoison.data.splitting import Split
from recpoison.evaluation.asking import ask, not_finite
from recpoison.evaluation.counting import Counts, Rows, contains, count
from recpoison.models.base import Fitted
from recpoison.progress import Progress

BLOCK = 64
"""Users scored together. Never another number for the same catalogue: a matrix product of another height rounds
differently."""

BLOCK_SCORES = 2**24
"""Most scores of one block; catalogues above 2**18 items are scored in fewer users at a time."""


@dataclass(frozen=True, eq=False)
class ItemRanks:
    """One row a (user, item) pair, sorted by user; all arrays ``(n,)``.

    Args:
        users: Real user.
        items: The item whose place it is.
        above: Candidates that score strictly higher; 0 is the top.
        ties: Other candidates with exactly the same score.
        candidates: Candidates, the item among them.
        listed: Whether it is a candidate itself, so that other items' columns count it. A held-out item is; a target is
            none where it is owned or outside a sample.
        owned: Whether the user has the item in training or validation; it is then ranked as if it were a candidate.
    """

    users: np.ndarray
    items: np.ndarray
    above: np.ndarray
    ties: np.ndarray
    candidates: np.ndarray
    listed: np.ndarray
    owned: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> ItemRanks:
        """Only these ``rows`` (a mask or row numbers)."""
        return ItemRanks(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, eq=False)
class Ranks:
    """What a fitted model does for every real user, without its scores.

    Candidates of a user are the items that it has neither in training nor in validation (all of them in full ranking,
    a sample in sampled ranking) and its held-out items. Fake users are neither scored nor counted.

    Args:
        test: Places of the held-out items.
        target: Places of the promoted items; no rows without targets.
        list_users: ``(n_users,)`` the users of ``lists``.
        lists: ``(n_users, k)`` each user's best candidates, best first, equal scores by item id; -1 where there are
            no more.
        item_counts: ``(n_items,)`` real users who have the item in training.
    """

    test: ItemRanks
    target: ItemRanks
    list_users: np.ndarray
    lists: np.ndarray
    item_counts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays under the names that ``ranks.npz`` gives them.

        Keys: ``test_users test_items test_above test_ties test_candidates test_listed test_owned``, the same with
        ``target_``, and ``list_users lists item_counts``; integers but for ``listed`` and ``owned``, which are boolean.
        They mean what the arguments of ``ItemRanks`` and ``Ranks`` mean. The 0-based place of an item is ``above`` with
        ties in its favour and ``above + ties`` with ties against it; in a random order of the tied it is each number
        from ``above`` to ``above + ties`` equally often. Items of one user with the same ``above`` and ties have the
        same score.
        """
        arrays = {"list_users": self.list_users, "lists": self.lists, "item_counts": self.item_counts}
        for subject, part in (("test", self.test), ("target", self.target)):
            arrays |= {f"{subject}_{field.name}": getattr(part, field.name) for field in fields(part)}
        return arrays

    def save(self, path: Path) -> None:
        """Write as npz, whole or not at all."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> Ranks:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            parts = [
                ItemRanks(**{field.name: file[f"{subject}_{field.name}"] for field in fields(ItemRanks)})
                for subject in ("test", "target")
            ]
            return Ranks(parts[0], parts[1], file["list_users"], file["lists"], file["item_counts"])


def rank_items(
    fitted: Fitted,
    split: Split,
    targets: np.ndarray,
    device: torch.device,
    progress: Progress,
    *,
    list_length: int,
    memory_mb: int | None = None,
    users: np.ndarray | None = None,
    negatives: Rows | None = None,
) -> Ranks:
    """Place the held-out and target items of real users.

    Scores come in blocks of a height that depends on the catalogue alone, the last one padded, so that ranks are the
    same whatever ``memory_mb`` is; that sets how many blocks are counted together (at least one).

    Args:
        fitted: May have been fitted on poisoned data; its first ``split.train.n_users`` users are the real ones.
        split: The clean data.
        targets: ``(n_targets,)`` promoted items.
        device: Where the user ids are put.
        progress: Hears how many users are done.
        list_length: Items to keep of each user's list.
        memory_mb: Memory for scores, in MiB; None: 16 on a CPU, and a 32nd of what is free on a CUDA device.
        users: Sorted real users to look at; all by default.
        negatives: Sampled candidates of each real user; by default every item that it has not seen.

    Raises:
        UserError: If scores have another shape, kind or place than expected, or one is infinite or not a number.
    """
    everyone = np.arange(split.train.n_users)
    users = everyone if users is None else users
    seen, held = seen_items(split), rows_of(split.test.seen)
    pairs = _query(users, held, targets)
    order = np.argsort(pairs[0], kind="stable")
    starts = np.searchsorted(pairs[0][order], np.arange(len(users) + 1))
    queries = Rows(starts, pairs[1][order].astype(np.int32))
    pool = seen if negatives is None else negatives
    if len(users) < len(everyone):
        pool, held = _take(pool, users), _take(held, users)

    out = Counts.empty(len(order), len(users), list_length)
    for first, last, scores in _score(fitted, users, split.train.n_items, device, memory_mb):
        rows = [rows.part(first, last) for rows in (pool, held, queries)]
        part = out.part(slice(starts[first], starts[last]), slice(first, last))
        if not count(scores, rows[0], negatives is not None, rows[1], rows[2], part):
            raise not_finite(fitted, scores, users[first:last])
        progress.step(last, len(users))
    place = np.argsort(order)
    counted = (column[place] for column in out[:-1])
    owned = contains(seen, users[pairs[0]], pairs[1])
    columns = (users[pairs[0]].astype(np.int32), pairs[1].astype(np.int32), *counted, owned)
    n_test = len(order) - len(users) * len(targets)
    return Ranks(
        ItemRanks(*(column[:n_test] for column in columns)),
        ItemRanks(*(column[n_test:] for column in columns)),
        users.astype(np.int32),
        out.lists,
        split.train.item_counts.astype(np.int32),
    )


def block_height(n_items: int) -> int:
    """Users of one block, from the size of the catalogue alone."""
    return max(1, min(BLOCK, BLOCK_SCORES // n_items))


def _score(
    fitted: Fitted, users: np.ndarray, n_items: int, device: torch.device, memory_mb: int | None
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield ``(first, last, scores of users[first:last])``."""
    height = block_height(n_items)
    padded = torch.from_numpy(np.pad(users, (0, -len(users) % height), mode="edge" if len(users) else "constant"))
    blocks: list[Tensor] = []
    limit = _free_for_scores(device) if memory_mb is None else memory_mb * 2**20
    for start in range(0, len(padded), height):
        blocks.append(ask(fitted, padded[start : start + height].to(device), n_items))
        size = 2 * blocks[0].element_size() * n_items * height  # a block, and its place in their concatenation
        if (len(blocks) + 1) * size > limit or start + height >= len(padded):
            first = start - (len(blocks) - 1) * height
            last = min(start + height, len(users))
            yield first, last, (torch.cat(blocks) if len(blocks) > 1 else blocks[0])[: last - first]
            blocks = []


def _free_for_scores(device: torch.device) -> int:
    """Bytes: what stays in a processor's cache, or on CUDA a part of what is free, as counting takes ten times more."""
    if device.type != "cuda":
        return 16 * 2**20
    return free_memory(device) // 32


def rows_of(matrix: sp.csr_matrix) -> Rows:
    """The columns of each row."""
    return Rows(matrix.indptr, matrix.indices)


def seen_items(split: Split) -> Rows:
    """Items of each real user in training and validation; sorted."""
    if split.valid is None or not len(split.valid):
        return rows_of(split.train.seen)
    both = split.train.seen + split.valid.seen
    both.sort_indices()
    return rows_of(both)


def _take(rows: Rows, users: np.ndarray) -> Rows:
    counts = np.diff(rows.starts)[users]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Rows(starts, rows.items[np.repeat(rows.starts[users] - starts[:-1], counts) + np.arange(starts[-1])])


def _query(users: np.ndarray, held: Rows, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in ``users`` and items to place: held-out items first, then the targets of every user."""
    mine = _take(held, users)
    places = np.repeat(np.arange(len(users)), np.diff(mine.starts))
    return (
        np.concatenate([places, np.repeat(np.arange(len(users)), len(targets))]),
        np.concatenate([mine.items, np.tile(np.asarray(targets, dtype=np.int64), len(users))]),
    )
