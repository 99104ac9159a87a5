"""Item nearest neighbours (Sarwar et al. 2001; Deshpande and Karypis 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds

SIMILARITIES = ("cosine", "jaccard")
LISTS = ("candidate", "history")
BLOCK_BYTES = 64 * 2**20


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
    """

    neighbors: int = 20
    similarity: str = "cosine"
    neighbors_of: str = "candidate"

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise ConfigError(f"model.neighbors is {self.neighbors}: give 1 or more")
        if self.similarity not in SIMILARITIES:
            raise ConfigError(f"model.similarity is {self.similarity!r}: choose one of {', '.join(SIMILARITIES)}")
        if self.neighbors_of not in LISTS:
            raise ConfigError(f"model.neighbors_of is {self.neighbors_of!r}: choose one of {', '.join(LISTS)}")

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Find neighbours for blocks of items whose similarities fit 64 MiB, never for the square of the catalogue."""
        by_user = data.seen
        by_item = by_user.T.tocsr()
        block = max(1, BLOCK_BYTES // (8 * data.n_items))
        rows, columns, values = [], [], []
        for start in range(0, data.n_items, block):
            items = np.arange(start, min(start + block, data.n_items))
            similarity = self._similarity((by_item[items] @ by_user).toarray(), data.item_counts, items)
            near, value = _nearest(similarity, min(self.neighbors, data.n_items))
            kept = value > 0
            rows.append(near[kept])
            columns.append(np.broadcast_to(items[:, None], near.shape)[kept])
            values.append(value[kept])
            progress.step(int(items[-1]) + 1, data.n_items)
        ends = (np.concatenate(rows), np.concatenate(columns))  # the neighbour, the item whose neighbour it is
        entries = (np.concatenate(values), ends if self.neighbors_of == "candidate" else ends[::-1])
        matrix = sp.csr_matrix(entries, shape=(data.n_items, data.n_items))
        matrix.sort_indices()
        parts = {"indptr": matrix.indptr, "indices": matrix.indices, "similarity": matrix.data}
        return {name: torch.from_numpy(part).to(device) for name, part in parts.items()}

    def _similarity(self, common: np.ndarray, counts: np.ndarray, items: np.ndarray) -> np.ndarray:
        """``(len(items), n_items)`` float32 from the numbers of ``common`` users; an item is no neighbour of itself."""
        own = counts[items][:, None].astype(np.float32)
        all_counts = counts.astype(np.float32)
        below = np.sqrt(own * all_counts) if self.similarity == "cosine" else own + all_counts - common
        similarity = np.divide(common, below, out=np.zeros_like(common), where=common > 0)
        similarity[np.arange(len(items)), items] = 0
        return similarity

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Summed similarities ``(len(users), n_items)``, computed on the CPU, where sparse products are at home."""
        parts = tuple(params[name].cpu().numpy() for name in ("similarity", "indices", "indptr"))
        matrix = sp.csr_matrix(parts, shape=(data.n_items, data.n_items))
        return torch.from_numpy((data.seen[users.cpu().numpy()] @ matrix).toarray()).to(users.device)


def _nearest(similarity: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` most similar columns of each row and their similarities, each ``(rows, k)``.

    Non-negative float32 numbers are ordered as their bits are, so one integer holds a similarity above and, for ties,
    the column below.
    """
    n_columns = similarity.shape[1]
    keys = similarity.view(np.int32).astype(np.int64) << 32
    keys |= np.arange(n_columns)[::-1]
    best = np.partition(keys, n_columns - k, axis=1)[:, n_columns - k :]
    columns = n_columns - 1 - (best & 0xFFFFFFFF)
    return columns, (best >> 32).astype(np.int32).view(np.float32)
