"""Random edges: the baseline of the meta-gradient report (algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.attacks.edges.zeros import Board, Chosen, ZeroFlips
from recpoison.attacks.flipping import Flipping


@dataclass(frozen=True, kw_only=True)
class RandomEdges(ZeroFlips):
    """Turns training zeros into edges, drawn evenly and without replacement (the meta-gradient report, algorithm 2).

    The first flips of a larger budget are those of a smaller one.

    Example:
        >>> from recpoison.data.interactions import Edges
        >>> zeros = Edges(np.array([0, 0, 1]), np.array([1, 2, 0]))
        >>> data = Interactions([0, 1, 1], [0, 1, 2], [1, 1, 1], n_users=2, n_items=3, zeros=zeros)
        >>> no_targets, cpu = np.array([], dtype=int), torch.device("cpu")
        >>> flips = RandomEdges(n_flips=2).poison(data, no_targets, Seeds(0), cpu, Progress())
        >>> len(flips), flips.values.tolist(), len(flips.apply(data).zeros.users)
        (2, [1, 1], 1)
    """

    def _choose(self, board: Board, flipping: Flipping) -> Chosen:
        return Chosen(flipping.seeds.numpy("flips").permutation(board.free)[: flipping.n_flips], {})
