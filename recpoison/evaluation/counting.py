"""Counts how many candidates beat an item, and picks the best ones: in one pass a user on a CPU, in bulk on CUDA."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor


class Rows(NamedTuple):
    """Lists of items of users in a row: list ``r`` is ``items[starts[r] : starts[r + 1]]``."""

    starts: np.ndarray
    items: np.ndarray

    def part(self, first: int, last: int) -> Rows:
        """Lists ``first`` to ``last - 1``."""
        starts = self.starts[first : last + 1]
        return Rows(starts - starts[0], self.items[starts[0] : starts[-1]])


class Counts(NamedTuple):
    """Where counts are written: per queried item, in the order of the queries, and per user. int32 but for ``listed``.

    They are allocated once for all users: small arrays kept from every block would split the memory that the next block
    needs, and the process would grow with the users.

    Args:
        above: ``(n_queries,)`` candidates that score strictly higher than the item.
        ties: ``(n_queries,)`` other candidates with the same score.
        candidates: ``(n_queries,)`` candidates, the item among them.
        listed: ``(n_queries,)`` whether the item is a candidate itself; boolean.
        lists: ``(n_users, k)`` best candidates, equal scores by item id, -1 where there are no more; k may be 0.
    """

    above: np.ndarray
    ties: np.ndarray
    candidates: np.ndarray
    listed: np.ndarray
    lists: np.ndarray

    @staticmethod
    def empty(n_queries: int, n_users: int, k: int) -> Counts:
        """Room for so many."""
        above, ties, candidates = (np.empty(n_queries, dtype=np.int32) for _ in range(3))
        return Counts(above, ties, candidates, np.empty(n_queries, np.bool_), np.full((n_users, k), -1, np.int32))

    def part(self, queries: slice, users: slice) -> Counts:
        """A view of some queries and users."""
        above, ties, candidates = (column[queries] for column in (self.above, self.ties, self.candidates))
        return Counts(above, ties, candidates, self.listed[queries], self.lists[users])


def count(scores: Tensor, pool: Rows, pool_is_allowed: bool, held: Rows, queries: Rows, out: Counts) -> bool:
    """Compare queried items with each user's candidates.

    Candidates are the items of ``pool``, or all items but these, and always the items of ``held``. A queried item that
    is no candidate (an owned target) is compared as if it were one.

    Args:
        scores: ``(n_users, n_items)``, float32 or float64; not changed.
        pool: Candidates of each user (sampled ranking), or items that are none (full ranking).
        pool_is_allowed: Whether ``pool`` holds the candidates.
        held: Items that are candidates whatever ``pool`` says: the held-out ones.
        queries: Items to place, per user.
        out: Filled.

    Returns:
        Whether all scores are finite numbers; the counts mean nothing otherwise.
    """
    if scores.device.type != "cpu":
        return count_in_bulk(scores, pool, pool_is_allowed, held, queries, out)
    array = scores.contiguous().numpy()
    return bool(_count_rows(array, *pool, pool_is_allowed, *held, *queries, *out))


@numba.njit(cache=True, nogil=True)
def _count_rows(
    scores: np.ndarray,
    pool_starts: np.ndarray,
    pool: np.ndarray,
    pool_is_allowed: bool,
    held_starts: np.ndarray,
    held: np.ndarray,
    query_starts: np.ndarray,
    queries: np.ndarray,
    above: np.ndarray,
    ties: np.ndarray,
    candidates: np.ndarray,
    listed: np.ndarray,
    lists: np.ndarray,
) -> bool:
    n_users, n_items = scores.shape
    none = -np.inf
    row = np.empty(n_items, dtype=scores.dtype)
    for user in range(n_users):
        if not _candidates_of(
            scores[user],
            row,
            pool[pool_starts[user] : pool_starts[user + 1]],
            pool_is_allowed,
            held[held_starts[user] : held_starts[user + 1]],
        ):
            return False
        n_candidates = 0
        for item in range(n_items):
            n_candidates += row[item] > none
        for query in range(query_starts[user], query_starts[user + 1]):
            score = scores[user, queries[query]]
            higher, not_lower = 0, 0
            for item in range(n_items):
                higher += row[item] > score
                not_lower += row[item] >= score
            itself = row[queries[query]] > none
            above[query] = higher
            ties[query] = not_lower - higher - itself
            candidates[query] = n_candidates + (not itself)
            listed[query] = itself
        if lists.shape[1]:
            _best(row, lists[user])
    return True


@numba.njit(cache=True, nogil=True)
def _candidates_of(
    scores: np.ndarray, row: np.ndarray, pool: np.ndarray, pool_is_allowed: bool, held: np.ndarray
) -> bool:
    """Fill ``row`` with the scores of candidates and minus infinity elsewhere; False if a score is not finite."""
    broken = 0
    for item in range(len(row)):
        row[item] = scores[item]
        broken += not abs(scores[item]) < np.inf
    if pool_is_allowed:
        row[:] = -np.inf
        for item in pool:
            row[item] = scores[item]
    else:
        for item in pool:
            row[item] = -np.inf
    for item in held:
        row[item] = scores[item]
    return broken == 0


@numba.njit(cache=True, nogil=True)
def _best(row: np.ndarray, best: np.ndarray) -> None:
    """Fill ``best`` with the items of the highest scores, by a heap whose root is the worst item kept.

    The row is cut into chunks. The k-th highest of their maxima is no higher than the k-th highest score, so that few
    items reach the heap.
    """
    k = len(best)
    chunk = min(max(len(row) // (4 * k), 1), 64)
    maxima = np.empty((len(row) + chunk - 1) // chunk, dtype=row.dtype)
    for c in range(len(maxima)):
        maxima[c] = _maximum(row[c * chunk : (c + 1) * chunk])
    bar = _kth_highest(maxima, best)
    size = 0
    for c in range(len(maxima)):
        if maxima[c] < bar or (size == k and maxima[c] == bar):
            continue
        for item in range(c * chunk, min((c + 1) * chunk, len(row))):
            if size == k:
                if row[item] > bar:
                    best[0] = item
                    _sink(row, best, 0, k)
                    bar = row[best[0]]
            elif row[item] >= bar and row[item] > -np.inf:
                best[size] = item
                size += 1
                if size == k:
                    _order(row, best, k)
                    bar = row[best[0]]
    if size < k:
        _order(row, best, size)
        best[size:] = -1
    for end in range(size - 1, 0, -1):
        best[0], best[end] = best[end], best[0]
        _sink(row, best, 0, end)


@numba.njit(cache=True, nogil=True)
def _kth_highest(values: np.ndarray, heap: np.ndarray) -> float:
    """The k-th highest value, minus infinity if there are fewer; ``heap`` is scratch of length k.

    numpy's partition would do, but takes numba ten seconds to compile.
    """
    k = len(heap)
    if len(values) < k:
        return -np.inf
    for i in range(k):
        heap[i] = i
    _order(values, heap, k)
    for i in range(k, len(values)):
        if values[i] > values[heap[0]]:
            heap[0] = i
            _sink(values, heap, 0, k)
    return values[heap[0]]


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def _maximum(values: np.ndarray) -> float:
    highest = values[0]
    for value in values:
        highest = max(highest, value)
    return highest


@numba.njit(cache=True, nogil=True)
def _order(row: np.ndarray, heap: np.ndarray, size: int) -> None:
    """Make a heap of the first ``size`` entries."""
    for node in range(size // 2 - 1, -1, -1):
        _sink(row, heap, node, size)


@numba.njit(cache=True, nogil=True)
def _sink(row: np.ndarray, heap: np.ndarray, node: int, size: int) -> None:
    """Move ``heap[node]`` down until both items below it are better; of equal scores the higher id is worse."""
    item = heap[node]
    while 2 * node + 1 < size:
        child = 2 * node + 1
        if child + 1 < size:
            left, right = heap[child], heap[child + 1]
            if row[right] < row[left] or (row[right] == row[left] and right > left):
                child += 1
        worse = heap[child]
        if row[worse] > row[item] or (row[worse] == row[item] and worse < item):
            break
        heap[node] = worse
        node = child
    heap[node] = item


def contains(rows: Rows, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """``(n,)`` whether ``items[i]`` is in the list of ``users[i]``; lists must be sorted."""
    found = np.empty(len(items), dtype=np.bool_)
    _search(rows.starts, rows.items, users, items, found)
    return found


@numba.njit(cache=True, nogil=True)
def _search(starts: np.ndarray, items: np.ndarray, users: np.ndarray, wanted: np.ndarray, found: np.ndarray) -> None:
    for i in range(len(wanted)):
        mine = items[starts[users[i]] : starts[users[i] + 1]]
        place = np.searchsorted(mine, wanted[i])
        found[i] = place < len(mine) and mine[place] == wanted[i]


def count_in_bulk(scores: Tensor, pool: Rows, pool_is_allowed: bool, held: Rows, queries: Rows, out: Counts) -> bool:
    """``count`` by whole-matrix operations, for CUDA."""
    row = torch.full_like(scores, -torch.inf) if pool_is_allowed else scores.clone()
    users, items = _pairs(pool, scores.device)
    known = scores[users, items]
    row[users, items] = known if pool_is_allowed else torch.full_like(known, -torch.inf)
    users, items = _pairs(held, scores.device)
    row[users, items] = scores[users, items]
    users, items = _pairs(queries, scores.device)
    itself = row[users, items] > -torch.inf
    above, not_lower = torch.zeros_like(users), torch.zeros_like(users)
    for part in torch.arange(len(users), device=scores.device).split(len(scores)):
        others, score = row[users[part]], scores[users[part], items[part]][:, None]
        above[part] = (others > score).sum(1)
        not_lower[part] = (others >= score).sum(1)
    candidates = (row > -torch.inf).sum(1)[users] + ~itself
    counts = torch.stack([above, not_lower - above - itself.long(), candidates, itself.long()])
    best = _best_in_bulk(row, out.lists.shape[1])
    finite = torch.isfinite(scores).all().long().view(1)
    found = torch.cat([finite, counts.flatten(), best.flatten()]).cpu().numpy()  # the one wait
    if not found[0]:
        return False
    columns = found[1 : 1 + counts.numel()].reshape(counts.shape)
    for column, numbers in zip((out.above, out.ties, out.candidates, out.listed), columns, strict=True):
        column[:] = numbers
    out.lists[:] = found[1 + counts.numel() :].reshape(out.lists.shape)
    return True


def _pairs(rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    users = np.repeat(np.arange(len(rows.starts) - 1), np.diff(rows.starts))
    columns = (torch.from_numpy(column) for column in (users, rows.items.astype(np.int64)))
    of_users, items = (column.to(device, non_blocking=True) for column in columns)
    return of_users, items


def _best_in_bulk(row: Tensor, k: int) -> Tensor:
    """Items of the ``k`` highest scores, equal ones by item id: ``topk`` alone leaves their order open."""
    if k == 0:
        return torch.empty((len(row), 0), dtype=torch.int64, device=row.device)
    bar = row.topk(k, dim=1).values[:, -1:]
    higher, equal = row > bar, row == bar
    room = k - higher.sum(1, keepdim=True)
    best = higher | (equal & (equal.cumsum(1) <= room))
    rank = torch.where(best, best.cumsum(1) - 1, k)  # the others share a place that is left out
    numbers = torch.arange(row.shape[1], device=row.device).expand_as(rank)
    items = rank.new_zeros(len(row), k + 1).scatter_(1, rank, numbers)[:, :k]
    values, order = row.gather(1, items).sort(dim=1, descending=True, stable=True)
    return items.gather(1, order).masked_fill(values == -torch.inf, -1)
