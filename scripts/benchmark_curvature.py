"""Curvature of the rating loss on ml_1m: a product with a vector, and the influence of every item on the risk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from benchmark_rows import in_turn, rows_of
from torch import Tensor

from recpoison.algebra.curvature import RatingCurvature
from recpoison.data.filtering import Filters
from recpoison.data.interactions import Interactions
from recpoison.data.ratings import KnownRatings
from recpoison.data.splitting import Splitter
from recpoison.defenses.apt import APT
from recpoison.defenses.erm_users import Renewal
from recpoison.models.base import Params
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.influence import InverseCurvature

CPU, EPOCHS = torch.device("cpu"), 15
AUTHORS = InverseCurvature(solver="lissa", blocks="diagonal", damping=0.0, iterations=200)


def curvature_benchmark(rounds: int) -> list[dict[str, object]]:
    """CPU seconds, ways in turn; the ratio of a product is to ours, that of an influence vector to ours by CG."""
    data = KnownRatings("ml_1m", "ml_1m", "ratings", Filters(), Splitter()).read(
        Path(os.environ["RECPOISON_DATA"]), Seeds(0), Progress()
    )
    model = MF(trainer=replace(MF().trainer, epochs=EPOCHS))
    params = model.fit(data, Seeds(0), CPU, Progress())
    return _products(data, model, params, rounds) + _influences(data, model, params, rounds)


def _products(data: Interactions, model: MF, params: Params, rounds: int) -> list[dict[str, object]]:
    plain = model.objective(data, Seeds(0), CPU)
    rows = torch.from_numpy(plain.users).long(), torch.from_numpy(plain.items).long(), torch.from_numpy(plain.ratings)
    here = RatingCurvature(*rows, params["user"], params["item"], model.regularization)
    v = torch.randn(data.n_users + data.n_items, model.embedding_size, generator=torch.Generator().manual_seed(0))
    ways = {"recpoison": lambda: here.product(v), "torch double backward": lambda: _double_backward(model, here, v)}
    found = {label: way() for label, way in ways.items()}  # compiled now, and the same product
    torch.testing.assert_close(*found.values(), rtol=1e-2, atol=1e-2 * found["recpoison"].abs().mean().item())
    return rows_of("hvp", "s a product over all ratings", in_turn(ways, rounds))


def _double_backward(model: MF, here: RatingCurvature, v: Tensor) -> Tensor:
    """Autograd of the model's own loss, twice."""
    leaves = [here.user_table.clone().requires_grad_(), here.item_table.clone().requires_grad_()]
    loss = model.loss(dict(zip(("user", "item"), leaves, strict=True)), (here.users, here.items, here.ratings))
    slopes = torch.autograd.grad(loss, leaves, create_graph=True)
    return torch.cat(torch.autograd.grad(slopes, leaves, v.split([len(leaf) for leaf in leaves])))


def _influences(data: Interactions, model: MF, params: Params, rounds: int) -> list[dict[str, object]]:
    renewal = Renewal(data, model.objective(data, Seeds(0), CPU), params, (1, 1), Seeds(0), Progress())
    ways = {
        "CG, defaults": lambda: APT().influence(renewal),
        "CG, diagonal blocks": lambda: APT(inverse=InverseCurvature(blocks="diagonal")).influence(renewal),
        "LiSSA, 200 batches of 16,384, diagonal blocks": lambda: APT(inverse=AUTHORS).influence(renewal),
    }
    for way in ways.values():
        way()
    return rows_of("influence", "s an influence vector", in_turn(ways, rounds))
