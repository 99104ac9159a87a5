"""What ``benchmark.py`` measures: ours, the plain way in torch, and peers.

A contender is made from training data; ``round()`` returns the CPU seconds of an epoch or a sweep, ``factors()`` the
two tables it has come to, whose product scores.
"""
# ruff: noqa: D102 - the two methods are described above

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from recpoison.algebra.conjugate_rows import ConjugateRows
from recpoison.algebra.normal_equations import group_rows, solve_rows
from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.adversarial import AdversarialBPR
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.objectives import BPRObjective
from recpoison.training.trainer import Trainer

SIZE, BATCH, RATE, REGULARIZATION, ACCUMULATOR = 64, 512, 0.05, 0.01, 0.1
WEIGHT, RIDGE = 20.0, 0.05
EPSILON = 0.5
PEER_EPOCHS = 3
Factors = tuple[np.ndarray, np.ndarray]


def power_law(n_users: int, n_items: int, n: int, rank: int = 12) -> tuple[Interactions, Interactions]:
    """``n`` training pairs and one held-out a user: popularity 1/(place + 10) times a taste of low rank, none twice."""
    rng = np.random.default_rng(0)
    log_popularity = -np.log(np.arange(n_items) + 10)
    taste = rng.gamma(0.6, size=(n_users, rank)), rng.gamma(0.6, size=(rank, n_items))
    activity = rng.lognormal(0, 1, n_users)
    counts = np.clip(activity / activity.sum() * n * 1.05, 20, n_items // 2).astype(int) + 1
    chosen = []
    for user, count in enumerate(counts):
        keys = log_popularity + np.log(taste[0][user] @ taste[1]) + rng.gumbel(size=n_items)
        chosen.append(rng.permutation(np.argpartition(-keys, count)[:count]))
    users, items = np.repeat(np.arange(n_users), counts), np.concatenate(chosen)
    held = np.cumsum(counts) - 1
    rest = rng.permutation(np.setdiff1d(np.arange(len(users)), held))[:n]
    tables = (Interactions(users[rows], items[rows], np.ones(len(rows)), n_users, n_items) for rows in (rest, held))
    train, test = tables
    return train, test


def hit_rate(user: np.ndarray, item: np.ndarray, train: Interactions, test: Interactions, k: int = 10) -> float:
    """Share of users whose held-out item is among the first ``k`` unseen ones."""
    scores = user @ item.T
    scores[train.users, train.items] = -np.inf
    positive = scores[test.users, test.items]
    return float(((scores >= positive[:, None]).sum(1) <= k).mean())


def weighted_loss(user: np.ndarray, item: np.ndarray, train: Interactions) -> float:
    """What ALS minimises, an observed pair; observed pairs weigh ``WEIGHT``."""
    user, item = user.astype(float), item.astype(float)
    products = np.einsum("nk,nk->n", user[train.users], item[train.items])
    observed = (WEIGHT * (1 - products) ** 2 - products**2).sum()
    everywhere = ((user.T @ user) * (item.T @ item)).sum()
    return float(observed + everywhere + RIDGE * ((user**2).sum() + (item**2).sum())) / len(train)


@cache
def warm(train: Interactions) -> Params:
    """Five epochs of plain training: near 0 a shift of 0.5 drowns all, and what comes out is chance."""
    trainer = Trainer(5, BATCH, "adagrad", RATE, ACCUMULATOR)
    return trainer.fit(BPRObjective(train, Seeds(0), REGULARIZATION), BPRMF(SIZE).init(train, Seeds(0)), Progress())


class OursBPR:
    """One epoch of ``Trainer``, on the backend it would choose; with an adversary if one is given."""

    def __init__(self, train: Interactions, backend: str = "numba", attack: InnerAttack | None = None) -> None:
        self.trainer = Trainer(1, BATCH, "adagrad", RATE, ACCUMULATOR, backend=backend)
        plain = BPRObjective(train, Seeds(0), REGULARIZATION)
        self.objective = AdversarialBPR(plain, attack, 1.0) if attack else plain
        self.state = self.trainer.start(warm(train) if attack else BPRMF(SIZE).init(train, Seeds(0)))
        self.epochs = 0
        self.objective.epoch(self.trainer, self.trainer.start(BPRMF(SIZE).init(train, Seeds(0))), 0)

    def round(self) -> float:
        start = time.process_time()
        self.objective.epoch(self.trainer, self.state, self.epochs)
        self.epochs += 1
        return time.process_time() - start

    def factors(self) -> Factors:
        return self.state["param.user"].numpy(), self.state["param.item"].numpy()


class PlainTorchBPR:
    """What one writes first: nn.Embedding, torch.optim.Adagrad, slices of shuffled pairs, negatives by rejection.

    With an ``epsilon`` it is APR: the gradient of a batch by autograd, normalised by rows, and a second loss.
    """

    def __init__(self, train: Interactions, sparse: bool = False, epsilon: float | None = None) -> None:
        self.epsilon = epsilon
        initial = BPRMF(SIZE).init(train, Seeds(0)) if epsilon is None else warm(train)
        self.tables = [
            torch.nn.Embedding.from_pretrained(initial[n], freeze=False, sparse=sparse) for n in ("user", "item")
        ]
        weights = [table.weight for table in self.tables]
        self.optimizer = torch.optim.Adagrad(weights, RATE, initial_accumulator_value=ACCUMULATOR)
        self.seen = torch.from_numpy(train.seen.toarray() > 0)
        self.pairs = torch.from_numpy(np.stack(train.seen.nonzero(), axis=1)).long()
        self.generator = torch.Generator().manual_seed(0)

    def round(self) -> float:
        start = time.process_time()
        pairs = self.pairs[torch.randperm(len(self.pairs), generator=self.generator)]
        negatives = torch.randint(self.seen.shape[1], (len(pairs),), generator=self.generator)
        while (again := self.seen[pairs[:, 0], negatives]).any():
            negatives[again] = torch.randint(self.seen.shape[1], (int(again.sum()),), generator=self.generator)
        for first in range(0, len(pairs), BATCH):
            users, items = pairs[first : first + BATCH].T
            others = negatives[first : first + BATCH]
            rows = self.tables[0](users), self.tables[1](items), self.tables[1](others)
            loss = self._loss(*rows)
            if self.epsilon is not None:
                weights = [table.weight for table in self.tables]
                gradients = torch.autograd.grad(loss, weights, retain_graph=True)
                shifts = [self.epsilon * F.normalize(gradient, dim=1) for gradient in gradients]
                moved = shifts[0][users], shifts[1][items], shifts[1][others]
                loss = loss + self._loss(*(row + shift for row, shift in zip(rows, moved, strict=True)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return time.process_time() - start

    def _loss(self, p: torch.Tensor, q: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        loss = F.softplus(-(p * (q - r)).sum(1)).sum()
        return loss + REGULARIZATION / 2 * (p.square().sum() + q.square().sum() + r.square().sum())

    def factors(self) -> Factors:
        user, item = (table.weight.detach().numpy() for table in self.tables)
        return user, item


class CornacBPR:
    """cornac's Cython BPR (SGD, item biases); time of an epoch without its set-up."""

    def __init__(self, train: Interactions) -> None:
        from cornac.data import Dataset
        from cornac.models import BPR

        self.model = BPR
        self.data = Dataset.from_uir(
            [(int(u), int(i), 1.0) for u, i in zip(train.users, train.items, strict=True)], seed=0
        )
        self.to_user, self.to_item = self.data.uid_map, self.data.iid_map
        self.shape = train.n_users, train.n_items

    def _fit(self, epochs: int) -> float:
        self.fitted = self.model(
            k=SIZE,
            max_iter=epochs,
            learning_rate=0.1,
            lambda_reg=REGULARIZATION,
            num_threads=1,
            seed=0,
            verbose=False,
        )
        start = time.process_time()
        self.fitted.fit(self.data)
        return time.process_time() - start

    def round(self) -> float:
        return (-self._fit(1) + self._fit(1 + PEER_EPOCHS)) / PEER_EPOCHS

    def factors(self) -> Factors:
        user, item = np.zeros((self.shape[0], SIZE + 1)), np.zeros((self.shape[1], SIZE + 1))
        user[list(self.to_user)] = np.c_[self.fitted.u_factors, np.ones(len(self.to_user))][list(self.to_user.values())]
        item[list(self.to_item)] = np.c_[self.fitted.i_factors, self.fitted.i_biases][list(self.to_item.values())]
        return user, item


class _Implicit:
    """A model of implicit; time of an epoch or sweep without its set-up."""

    def __init__(self, train: Interactions) -> None:
        self.make = self._maker()
        self.data = train.seen

    def _fit(self, epochs: int) -> float:
        self.fitted = self.make(epochs)
        start = time.process_time()
        self.fitted.fit(self.data, show_progress=False)
        return time.process_time() - start

    def round(self) -> float:
        return (-self._fit(1) + self._fit(1 + PEER_EPOCHS)) / PEER_EPOCHS

    def factors(self) -> Factors:
        return self.fitted.user_factors, self.fitted.item_factors


class ImplicitBPR(_Implicit):
    """implicit's Cython BPR (SGD, biases as a factor)."""

    def _maker(self):
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        return lambda epochs: BayesianPersonalizedRanking(
            SIZE, 0.05, REGULARIZATION, iterations=epochs, num_threads=1, random_state=0
        )


class ImplicitALS(_Implicit):
    """implicit's ALS with exact Cholesky solves."""

    use_cg = False

    def _maker(self):
        from implicit.cpu.als import AlternatingLeastSquares

        return lambda sweeps: AlternatingLeastSquares(
            SIZE, RIDGE, WEIGHT - 1, use_cg=self.use_cg, iterations=sweeps, num_threads=1, random_state=0
        )


class ImplicitALSConjugate(ImplicitALS):
    """implicit's default: three steps of conjugate gradients in place of a solve."""

    use_cg = True


class OursALS:
    """One sweep of ``WRMFALS`` with exact solves."""

    def __init__(self, train: Interactions) -> None:
        self.halves = [self._half(matrix) for matrix in (train.seen, train.seen.T.tocsr())]
        self.user = torch.zeros(train.n_users, SIZE)
        self.item = 0.1 * torch.randn(train.n_items, SIZE, generator=torch.Generator().manual_seed(0))

    def _half(self, matrix: sp.csr_matrix) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        groups = group_rows(matrix, torch.device("cpu"))
        return lambda before, factors: solve_rows(factors, groups, len(before), WEIGHT, RIDGE)

    def round(self) -> float:
        start = time.process_time()
        self.user = self.halves[0](self.user, self.item)
        self.item = self.halves[1](self.item, self.user)
        return time.process_time() - start

    def factors(self) -> Factors:
        return self.user.numpy(), self.item.numpy()


class OursALSConjugate(OursALS):
    """The same with ``solver: cg``."""

    def __init__(self, train: Interactions) -> None:
        super().__init__(train)
        for half, table, factors in zip(self.halves, (self.user, self.item), (self.item, self.user), strict=True):
            half(table, factors)  # compiled here, so that no round pays for it

    def _half(self, matrix: sp.csr_matrix) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        rows = ConjugateRows(matrix, torch.device("cpu"))
        return lambda before, factors: rows.improved(before, factors, WEIGHT, RIDGE)


BPR_CONTENDERS = {
    "ours, numba": OursBPR,
    "ours, torch": lambda train: OursBPR(train, "torch"),
    "plain torch, dense Adagrad": PlainTorchBPR,
    "plain torch, sparse Adagrad": lambda train: PlainTorchBPR(train, sparse=True),
    "cornac": CornacBPR,
    "implicit": ImplicitBPR,
}
APR_CONTENDERS = {
    "ours, numba": lambda train: OursBPR(train, attack=InnerAttack(EPSILON)),
    "ours without the adversary": OursBPR,
    "ours, two BIM steps": lambda train: OursBPR(train, attack=InnerAttack(EPSILON, steps=2)),
    "ours, noise": lambda train: OursBPR(train, attack=InnerAttack(EPSILON, steps=0, noise=True)),
    "ours, torch": lambda train: OursBPR(train, "torch", InnerAttack(EPSILON)),
    "plain torch, dense Adagrad": lambda train: PlainTorchBPR(train, epsilon=EPSILON),
}
ALS_CONTENDERS = {
    "ours, exact": OursALS,
    "ours, conjugate gradients": OursALSConjugate,
    "implicit, Cholesky": ImplicitALS,
    "implicit, conjugate gradients": ImplicitALSConjugate,
}
