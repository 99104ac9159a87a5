"""What tests of attacks that learn their fillers share."""

import numpy as np
import torch

from recpoison.algebra.ridge import rated_rows
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.data.interactions import Interactions, Scale
from recpoison.models.mf import MF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.ratings import rating_matrix
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = MF(embedding_size=3, trainer=Trainer(epochs=10, batch_size=64, optimizer="adagrad", learning_rate=1.0))
IMPLICIT = WRMFALS(embedding_size=3, weight=4.0, regularization=0.5, sweeps=3)
RIDGE, N_REAL, N_ITEMS, N_FAKES = 0.3, 20, 9, 3


def some_data(kind: str) -> Interactions:
    """20 users x 9 items, half stars or ones."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((N_REAL, N_ITEMS)) < 0.4)
    if kind == "implicit":
        return Interactions(users, items, np.ones(len(users)), N_REAL, N_ITEMS)
    return Interactions(users, items, rng.integers(1, 9, len(users)) / 2, N_REAL, N_ITEMS, Scale(0.5, 4, 0.5))


def precise(data: Interactions) -> ClosedForm:
    """The surrogate in double precision."""
    model = IMPLICIT if data.scale is None else SMALL
    form = ClosedForm(model, RIDGE, 2, data, Seeds(0), CPU)
    form.users = form.users.double()
    form.lefts, form.rights = rated_rows(rating_matrix(data).T.tocsr(), form.users, form.unrated, form.ridge)
    form.clean = torch.linalg.solve(form.lefts, form.rights)
    return form


def solved(factors, cells, values, unrated, ridge):
    """Ridge regressions one row after the other."""
    rows = []
    for weights, wanted in zip(cells, values, strict=True):
        shares = unrated + (1 - unrated) * weights
        rows.append(
            np.linalg.solve(ridge * np.eye(3) + factors.T @ (shares[:, None] * factors), factors.T @ (weights * wanted))
        )
    return np.array(rows)


def plain_items(data: Interactions, users: np.ndarray, weights: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Items from scratch: real users held, everything else solved row after row, fake users and items twice."""
    unrated, ridge = (1 / 4, 0.5 / 4) if data.scale is None else (0.0, RIDGE)
    real, known = rating_matrix(data).toarray(), data.seen.toarray().astype(float)
    items = solved(users, known.T, real.T, unrated, ridge)
    for _ in range(2):
        fakes = solved(items, weights, ratings, unrated, ridge)
        everyone = np.vstack([users, fakes])
        items = solved(everyone, np.vstack([known, weights]).T, np.vstack([real, ratings]).T, unrated, ridge)
    return items


def differences(value, at, step=1e-6):
    found = np.zeros_like(at)
    for cell in np.ndindex(at.shape):
        ahead, behind = at.copy(), at.copy()
        ahead[cell] += step
        behind[cell] -= step
        found[cell] = (value(ahead) - value(behind)) / (2 * step)
    return found


def one_taste(implicit=False) -> Interactions:
    """120 users who each rate 12 of items 0 to 19, 3 to 5; nobody rates the other 40."""
    rng = np.random.default_rng(3)
    users, items = np.array([(u, i) for u in range(120) for i in rng.permutation(20)[:12]]).T
    values = np.ones(len(users)) if implicit else rng.integers(3, 6, len(users))
    return Interactions(users, items, values, 120, 60, None if implicit else Scale(1, 5))


def mean_rank(model, data, poisoned, target):
    fitted = model.fit(poisoned, Seeds(5), CPU, Progress())
    scores = (fitted["user"][: data.n_users] @ fitted["item"].T).masked_fill(
        torch.from_numpy(data.seen.toarray() > 0), -9.0
    )
    return float((scores >= scores[:, [target]]).sum(1).float().mean())
