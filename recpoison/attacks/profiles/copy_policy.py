"""CopyAttack's two policies: a walk down a tree of clustered users, and the share of a profile that is kept."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from recpoison.attacks.profiles.copy_source import SHARES
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.initial_values import glorot


class Tree(NamedTuple):
    """Users at the leaves of a tree of balanced clusters; node 0 is its root.

    Args:
        children: ``(n_nodes, branches)`` the node below each branch, or -1 where it ends at a user or there is none.
        nodes: ``(n_users, depth)`` the nodes on the way to a user; -1 after its end.
        branches: ``(n_users, depth)`` the branch taken at each of these.
    """

    children: np.ndarray
    nodes: np.ndarray
    branches: np.ndarray

    def below(self, allowed: np.ndarray) -> np.ndarray:
        """``(n_nodes, branches)`` how many of the ``allowed`` users are below each branch."""
        counts = np.zeros(self.children.shape, dtype=np.int64)
        nodes, branches = self.nodes[allowed], self.branches[allowed]
        np.add.at(counts, (nodes[nodes >= 0], branches[nodes >= 0]), 1)
        return counts


def clustered(vectors: np.ndarray, depth: int, rng: np.random.Generator) -> Tree:
    """Divide users by k-means into clusters of equal size (but for rounding), and these again, ``depth`` times in all.

    Args:
        vectors: ``(n_users, size)``.
        depth: Levels; each node has the least number of branches with which so many levels suffice.
        rng: Draws where k-means begins.
    """
    n = len(vectors)
    branches = max(2, math.ceil(n ** (1 / depth) - 1e-9))
    children: list[np.ndarray] = []
    nodes, taken = np.full((n, depth), -1), np.full((n, depth), -1)
    waiting = [(np.arange(n), 0, -1, -1)]
    while waiting:
        users, level, above, branch = waiting.pop()
        number = len(children)
        children.append(np.full(branches, -1))
        if above >= 0:
            children[above][branch] = number
        nodes[users, level] = number
        parts = np.split(users, len(users)) if len(users) <= branches else _balanced(vectors, users, branches, rng)
        for place, part in enumerate(parts):
            taken[part, level] = place
            if len(part) > 1:
                waiting.append((part, level + 1, number, place))
    return Tree(np.array(children), nodes, taken)


def _balanced(vectors: np.ndarray, users: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """``count`` clusters of ``users``: the nearest pairs of user and centre first, until a cluster is full."""
    own = vectors[users].astype(np.float64)
    begin = own[rng.choice(len(users), count, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a cluster that is empty: the next lines fill it
        centres, _ = kmeans2(own, begin, iter=10, minit="matrix")
    distances = (own**2).sum(1)[:, None] - 2 * own @ centres.T + (centres**2).sum(1)
    places = np.full(count, len(users) // count)
    places[: len(users) % count] += 1
    cluster = np.full(len(users), -1)
    for user, centre in zip(*np.divmod(np.argsort(distances, axis=None, kind="stable"), count), strict=True):
        if cluster[user] < 0 and places[centre]:
            cluster[user], places[centre] = centre, places[centre] - 1
    return [users[cluster == centre] for centre in range(count)]


class Policies:
    """What is drawn next, and the logarithm of its probability, given what was chosen before.

    Every node of the tree has a network of its own with one hidden layer; they read the state of a recurrent network
    over the users chosen so far and the target. A branch's score is added to the logarithm of how many users may be
    chosen below it, so that all of these are equally likely before anything is learned. The window has a network of its
    own that reads the user and the target.

    Args:
        tree: Of the users.
        users: ``(n_users, size)`` their vectors.
        items: ``(n_items, size)``.
        hidden_size: Size of hidden layers.
    """

    def __init__(self, tree: Tree, users: Tensor, items: Tensor, hidden_size: int) -> None:
        self.tree, self.users, self.items, self.hidden_size = tree, users, items, hidden_size

    def start(self, seeds: Seeds) -> Params:
        """Numbers with which all choices are equally likely: last layers are 0."""
        size, (n_nodes, branches) = self.users.shape[1], self.tree.children.shape
        drawn = {"state_in": (size, size), "state_own": (size, size), "window_first": (self.hidden_size, 2 * size)}
        params = {name: glorot(seeds.numpy(name), shape) for name, shape in drawn.items()}
        first = glorot(seeds.numpy("first"), (n_nodes * self.hidden_size, 2 * size))
        params["first"] = first.view(n_nodes, self.hidden_size, 2 * size) * math.sqrt(n_nodes)
        params["second"] = torch.zeros(n_nodes, branches, self.hidden_size)
        return params | {"window_second": torch.zeros(len(SHARES), self.hidden_size)}

    def nobody(self) -> Tensor:
        """The state before anybody is chosen."""
        return self.users.new_zeros(self.users.shape[1])

    def after(self, params: Params, state: Tensor, user: int) -> Tensor:
        """The state when ``user`` has been chosen."""
        return torch.tanh(params["state_in"] @ self.users[user] + params["state_own"] @ state)

    def user(
        self, params: Params, state: Tensor, target: int, allowed: np.ndarray, rng: np.random.Generator
    ) -> tuple[int, Tensor]:
        """One of the ``allowed`` users ``(n_users,)``, found by a walk from the root."""
        counts, node, said = self.tree.below(allowed), 0, self.users.new_zeros(())
        seen, way = torch.cat([state, self.items[target]]), []
        while node >= 0:
            hidden = torch.tanh(params["first"][node] @ seen)
            prior = torch.from_numpy(counts[node]).to(seen).log()  # minus infinity where nobody is left
            branch, chance = _drawn(params["second"][node] @ hidden + prior, rng)
            said = said + chance
            way.append((node, branch))
            node = int(self.tree.children[node, branch])
        last, level = way[-1], len(way) - 1
        ends = (self.tree.nodes[:, level] == last[0]) & (self.tree.branches[:, level] == last[1])
        return int(np.flatnonzero(ends & allowed)[0]), said

    def share(self, params: Params, target: int, user: int, rng: np.random.Generator) -> tuple[float, Tensor]:
        """How much of the profile of ``user`` is kept."""
        seen = torch.cat([self.users[user], self.items[target]])
        place, chance = _drawn(params["window_second"] @ torch.tanh(params["window_first"] @ seen), rng)
        return float(SHARES[place]), chance


def _drawn(logits: Tensor, rng: np.random.Generator) -> tuple[int, Tensor]:
    """A draw from the softmax of ``logits``, and the logarithm of its probability."""
    said = torch.log_softmax(logits, 0)
    chances = said.detach().double().exp().cpu().numpy()
    place = int(np.searchsorted(np.cumsum(chances), rng.random() * chances.sum(), side="right"))
    place = min(place, int(np.flatnonzero(chances)[-1]))
    return place, said[place]
