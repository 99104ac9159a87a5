"""Item nearest neighbours (Sarwar et al. 2001; Deshpande and Karypis 2004)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.models.base import Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

SIMILARITIES = ("cosine", "jaccard")
LISTS = ("candidate", "history")
BLOCK_BYTES = 64 * 2**20
BYTES_EACH = 48  # of one similarity, with all that is made on the way to it


@dataclass(frozen=True)
class ItemKNN(Model):
    """Scores an item by its summed similarity to the user's items, as far as they are nearest neighbours.

    With n_ij users of both items and n_i of one, cosine is n_ij / sqrt(n_i n_j) and Jaccard n_ij / (n_i + n_j - n_ij).
    Pairs count once, ratings are not looked at; of equally near items the one with the lower id comes first.

    Nearness has a direction. With ``neighbors_of`` ``candidate`` each item listens to its own nearest items (Sarwar et
    al.; RecBole): a rare item's list is as long as a popular one's, so it can be recommended. With ``history`` each
    item of the user speaks for the items nearest to it (Deshpande and Karypis; the library ``implicit``; the code of
    the injection paper): whoever gets into the lists of many items gains. Params: ``indptr``, ``indices`` and
    ``similarity``, the sparse ``(n_items, n_items)`` matrix from a user's item to the items it speaks for.

    Args:
        neighbors: Nearest items kept for each item.
        similarity: ``cosine`` or ``jaccard``.
        neighbors_of: Whose nearest items count: ``candidate`` or ``history``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 2, 3], [0, 1, 0, 0, 0], [1] * 5, n_users=4, n_items=3)
        >>> params = ItemKNN().fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> ItemKNN().scores(params, data, torch.tensor([3])).tolist()  # 1 common user / sqrt(4 users * 1 user)
        [[0.0, 0.5, 0.0]]
    """

    reads_values: ClassVar[bool] = False
    has_epochs: ClassVar[bool] = False

    neighbors: int = ranged(20, low=1)
    similarity: str = ranged("cosine", words=SIMILARITIES)
    neighbors_of: str = ranged("candidate", words=LISTS)

    def __post_init__(self) -> None:
        check_ranges(self, "model")

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Find neighbours for blocks of items whose nonzero similarities fit 64 MiB; no zero is ever looked at."""
        by_user = data.seen
        by_item = by_user.T.tocsr()
        rows, columns, values = [], [], []
        for items in _blocks(by_item, data.user_counts):
            common = by_item[items] @ by_user
            similarity = self._similarity(common, data.item_counts, items)
            kept = _nearest(common.indptr, common.indices, similarity, self.neighbors)
            rows.append(common.indices[kept])
            columns.append(np.repeat(items, np.diff(common.indptr))[kept])
            values.append(similarity[kept])
            progress.step(int(items[-1]) + 1, data.n_items)
        ends = (np.concatenate(rows), np.concatenate(columns))  # the neighbour, the item whose neighbour it is
        entries = (np.concatenate(values), ends if self.neighbors_of == "candidate" else ends[::-1])
        matrix = sp.csr_matrix(entries, shape=(data.n_items, data.n_items))
        matrix.sort_indices()
        parts = {"indptr": matrix.indptr, "indices": matrix.indices, "similarity": matrix.data}
        return {name: torch.from_numpy(part).to(device) for name, part in parts.items()}

    def _similarity(self, common: sp.csr_matrix, counts: np.ndarray, items: np.ndarray) -> np.ndarray:
        """float32, one for each number of ``common`` users ``(len(items), n_items)``; no item is near to itself."""
        lengths = np.diff(common.indptr)
        all_counts = counts.astype(np.float32)
        own, other = np.repeat(all_counts[items], lengths), all_counts[common.indices]
        below = np.sqrt(own * other) if self.similarity == "cosine" else own + other - common.data
        similarity = common.data / below
        similarity[common.indices == np.repeat(items, lengths)] = 0
        return similarity

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Summed similarities ``(len(users), n_items)``, computed on the CPU, where sparse products are at home."""
        parts = tuple(params[name].cpu().numpy() for name in ("similarity", "indices", "indptr"))
        matrix = sp.csr_matrix(parts, shape=(data.n_items, data.n_items))
        return torch.from_numpy((data.seen[users.cpu().numpy()] @ matrix).toarray()).to(users.device)


def _blocks(by_item: sp.csr_matrix, user_counts: np.ndarray) -> list[np.ndarray]:
    """Items in order, in blocks whose similarities take up to ``BLOCK_BYTES``, or one item where its own take more."""
    n_items = by_item.shape[0]
    most = np.minimum(by_item @ user_counts.astype(np.int64), n_items)  # similarities of an item that are not zero
    number = np.cumsum(most) * BYTES_EACH // BLOCK_BYTES
    return np.split(np.arange(n_items), np.flatnonzero(np.diff(number)) + 1)


def _nearest(indptr: np.ndarray, columns: np.ndarray, similarity: np.ndarray, k: int) -> np.ndarray:
    """Mask of the ``k`` largest positive similarities of each row; of equal ones those of the lower columns.

    Non-negative float32 numbers are ordered as their bits are, so one integer holds a similarity above and, for ties,
    the column below.
    """
    keys = (similarity.view(np.int32).astype(np.int64) << 32) + (np.iinfo(np.int32).max - columns)
    kept = similarity > 0
    for row in np.flatnonzero(np.diff(indptr) > k):
        own = slice(indptr[row], indptr[row + 1])
        kept[own] &= keys[own] >= np.partition(keys[own], -k)[-k]
    return kept
