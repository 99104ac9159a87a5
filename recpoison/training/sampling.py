"""Positive pairs and uniform negatives, drawn in bulk and exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numba import njit
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import DataError
from recpoison.seeds import Seeds


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct training pairs, and what it takes to draw an item that a user has not seen.

    A negative is the r-th unseen item of its user, r uniform. With the user's seen items in ascending order, the j-th
    of them (from 0) has ``gap = item - j`` unseen items before it, so the r-th unseen item is r + (number of gaps at
    most r): one binary search, the same distribution as drawing until unseen, but without a bitmap of users x items (22
    MB for MovieLens-1M, 184 MB for 13,149 x 14,007), without a loop of unknown length, and so without a question from
    the device to the host.

    Users who have seen every item have no negative: their pairs are left out.

    Args:
        users: ``(n,)`` int32, ascending.
        items: ``(n,)`` int32, ascending within a user.
        indptr: ``(n_users + 1,)`` int64, where each user's gaps begin.
        gaps: ``(n_pairs,)`` int32, ascending within a user.
        n_unseen: ``(n_users,)`` int32.
        n_items: Number of items.
    """

    users: np.ndarray
    items: np.ndarray
    indptr: np.ndarray
    gaps: np.ndarray
    n_unseen: np.ndarray
    n_items: int

    def __len__(self) -> int:
        return len(self.users)

    @staticmethod
    def of(data: Interactions) -> Pairs:
        """The pairs of ``data``, each once, whatever the order of its rows.

        Raises:
            DataError: If no user has both a seen and an unseen item.
        """
        seen = data.seen
        counts = np.diff(seen.indptr)
        users = np.repeat(np.arange(data.n_users, dtype=np.int32), counts)
        items = seen.indices.astype(np.int32)
        place = np.arange(len(items)) - np.repeat(seen.indptr[:-1], counts)
        n_unseen = (data.n_items - counts).astype(np.int32)
        usable = n_unseen[users] > 0
        if not usable.any():
            raise DataError(
                "no user has both a seen and an unseen item, so pairs cannot be ranked: filter less, or take a model "
                "that needs no negatives (model=wrmf_als)"
            )
        indptr = seen.indptr.astype(np.int64)
        return Pairs(users[usable], items[usable], indptr, (items - place).astype(np.int32), n_unseen, data.n_items)

    def draws(self, seeds: Seeds, epoch: int, per_pair: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """What chance decides in an epoch: the pairs' order ``(n,)`` and ``(n * per_pair,)`` uniform numbers in [0, 1).

        Both depend on the seed and the epoch alone, never on batches, threads or workers.
        """
        generator = seeds.numpy("epoch", epoch)
        order = np.arange(len(self), dtype=np.int32 if len(self) < 2**31 else np.int64)
        generator.shuffle(order)
        return order, generator.random(len(self) * per_pair)

    def negatives(self, uniforms: np.ndarray) -> np.ndarray:
        """For each pair the unseen items at the shares ``uniforms`` of its user's unseen items, int32 as long as they.

        Neighbours in ``uniforms`` belong to one pair where there are several a pair.
        """
        per_pair = len(uniforms) // len(self)
        users = self.users if per_pair == 1 else np.repeat(self.users, per_pair)
        return unseen_items(users, uniforms, self.indptr, self.gaps, self.n_unseen)


@njit(cache=True, nogil=True)
def unseen_items(users, uniforms, indptr, gaps, n_unseen):  # type: ignore[no-untyped-def]
    """The unseen item of each of ``users`` at the share ``uniforms``; quick where a user's places are neighbours."""
    found = np.empty(len(users), dtype=np.int32)
    for place in range(len(users)):
        user = users[place]
        rank = np.int32(uniforms[place] * n_unseen[user])
        start, length = indptr[user], indptr[user + 1] - indptr[user]
        low = start
        while length > 0:  # no branch on the outcome, which nobody can predict
            half = (length + 1) >> 1
            low += half * (gaps[low + half - 1] <= rank)
            length -= half
        found[place] = rank + low - start
    return found


@dataclass(frozen=True, eq=False)
class DevicePairs:
    """``Pairs`` on a torch device, without a host synchronisation.

    Draws are the same as numba's on a CPU, and the device's own on CUDA.

    Args:
        pairs: The pairs on the host.
        users: ``(n,)`` int64.
        items: ``(n,)`` int64.
        keys: ``(n_pairs,)`` int64 ``user * (n_items + 1) + gap``, ascending, so that one search serves all users.
        starts: ``(n_users,)`` int64, where each user's keys begin.
        n_unseen: ``(n_users,)`` float64.
    """

    pairs: Pairs
    users: Tensor
    items: Tensor
    keys: Tensor
    starts: Tensor
    n_unseen: Tensor

    @staticmethod
    def of(pairs: Pairs, device: torch.device) -> DevicePairs:
        """Copy ``pairs`` to ``device``."""
        owner = np.repeat(np.arange(len(pairs.n_unseen)), np.diff(pairs.indptr))
        keys = owner * (pairs.n_items + 1) + pairs.gaps

        def to_device(array: np.ndarray, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.from_numpy(array).to(device, dtype)

        return DevicePairs(
            pairs,
            to_device(pairs.users),
            to_device(pairs.items),
            to_device(keys),
            to_device(pairs.indptr[:-1]),
            to_device(pairs.n_unseen, torch.float64),
        )

    def epoch(self, seeds: Seeds, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Users, positive and negative items of an epoch in shuffled order, each ``(n,)`` int64."""
        order, uniforms = self.draws(seeds, epoch)
        columns = (self.users, self.items, self.negatives(self.users, uniforms))
        users, items, negatives = (column.index_select(0, order) for column in columns)
        return users, items, negatives

    def draws(self, seeds: Seeds, epoch: int, per_pair: int = 1) -> tuple[Tensor, Tensor]:
        """``Pairs.draws`` as tensors: those numbers on a CPU, the device's own elsewhere."""
        device, n = self.users.device, len(self.users)
        if device.type == "cpu":
            order, uniforms = (torch.from_numpy(array) for array in self.pairs.draws(seeds, epoch, per_pair))
            return order.long(), uniforms
        generator = seeds.torch("epoch", epoch, device=device)
        order = torch.randperm(n, generator=generator, device=device)
        return order, torch.rand(n * per_pair, generator=generator, device=device, dtype=torch.float64)

    def epoch_by_users(self, seeds: Seeds, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """As many triples as ``epoch`` has, of users drawn uniformly with replacement, each with one of its pairs.

        Users who have no pair, or no unseen item, are not drawn.
        """
        device, n = self.users.device, len(self.users)
        if device.type == "cpu":
            shares = torch.from_numpy(seeds.numpy("epoch", epoch).random((3, n)))
        else:
            generator = seeds.torch("epoch", epoch, device=device)
            shares = torch.rand(3, n, generator=generator, device=device, dtype=torch.float64)
        users, starts, counts = self.by_user
        drawn = (shares[0] * len(users)).long()
        places = starts.index_select(0, drawn) + (shares[1] * counts.index_select(0, drawn)).long()
        of_user, items = users.index_select(0, drawn), self.items.index_select(0, places)
        return of_user, items, self.negatives(of_user, shares[2])

    @cached_property
    def by_user(self) -> tuple[Tensor, Tensor, Tensor]:
        """Users with a usable pair, where each one's pairs begin, and how many they are."""
        found = np.unique(self.pairs.users, return_index=True, return_counts=True)
        users, starts, counts = (torch.from_numpy(column).to(self.users.device, torch.int64) for column in found)
        return users, starts, counts

    def epoch_with(self, seeds: Seeds, epoch: int, n_negatives: int) -> tuple[Tensor, Tensor, Tensor]:
        """Users and items of an epoch in shuffled order ``(n,)``, and ``(n, n_negatives)`` unseen items; int64.

        The negatives of a pair are independent: one may come twice.
        """
        places, shares = self.draws(seeds, epoch, n_negatives)
        if self.users.device.type == "cpu":
            negatives = torch.from_numpy(self.pairs.negatives(shares.numpy())).long()
        else:
            negatives = self.negatives(self.users.repeat_interleave(n_negatives), shares)
        columns = (self.users, self.items, negatives.view(-1, n_negatives))
        users, items, others = (column.index_select(0, places) for column in columns)
        return users, items, others

    def negatives(self, users: Tensor, uniforms: Tensor) -> Tensor:
        """For each of ``users`` its unseen item at the share ``uniforms`` of its unseen items."""
        ranks = (uniforms * self.n_unseen.index_select(0, users)).long()
        found = torch.searchsorted(self.keys, users * (self.pairs.n_items + 1) + ranks, right=True)
        return ranks + found - self.starts.index_select(0, users)
