"""Mult-VAE (Liang, Krishnan, Hoffman and Jebara 2018): a variational autoencoder of users, with one softmax a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.adam import adam

from recpoison.algebra.multinomial import PRECISIONS, multinomial_loss
from recpoison.algebra.observed import Observed
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Params
from recpoison.models.trained import TrainedModel
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import xavier
from recpoison.training.optimizers import BETAS, State, slots, step
from recpoison.training.row_batches import RowBatches
from recpoison.training.trainer import BatchObjective, Trainer

LIKELIHOODS = ("sum", "mean")


def _adam() -> Trainer:
    return Trainer(epochs=100, batch_size=128, optimizer="adam", learning_rate=0.001, eps=1e-8)


@dataclass(frozen=True)
class MultVAE(TrainedModel):
    """A user's items are drawn from one softmax over all items, decoded from a normal code of the user.

    Encoder: the items as a row of ones of length 1 with dropout, ``hidden_size`` tanh, mean and log variance of the
    code. Decoder: ``hidden_size`` tanh, scores of all items. A step minimises the mean over the batch's users of minus
    the log-likelihood of their items plus a growing weight times KL(code | N(0, 1)). Items are scored from the code's
    mean, without dropout. Pairs count once, ratings are not looked at.

    The first layer adds up the rows of a user's items; the last is a dense softmax with gradients by hand
    (``algebra/multinomial.py``). Biases start at 0, weights uniform after Glorot; Liang's biases are normal with 0.001.

    Params: ``input_weight`` ``(n_items, hidden_size)``, ``code_weight`` ``(hidden_size, 2 * code_size)`` (mean, log
    variance), ``hidden_weight`` ``(code_size, hidden_size)``, ``output_weight`` ``(n_items, hidden_size)``, and a bias
    of each.

    Args:
        hidden_size: Units of the hidden layer on either side.
        code_size: Numbers of a user's code.
        dropout: Share of a user's items that the encoder is not shown in training.
        kl_weight: Where the weight of the KL term ends.
        kl_step: What it grows by at each step; the first has 0.
        likelihood: ``sum`` over a user's items, as in the paper, or their ``mean``, as in the injection paper's code.
        regularization: Weight of half the squared length of all parameters, added at every step (torch's
            ``weight_decay``).
        precision: Of the last layer's products in training: ``float32`` or ``bfloat16``.
        trainer: How the loss, a mean over the batch's users, is minimised; ``batch_size`` counts users.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = MultVAE(8, code_size=4, trainer=Trainer(epochs=100, optimizer="adam", learning_rate=0.01))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    reads_values: ClassVar[bool] = False

    hidden_size: int = ranged(512, low=1)
    code_size: int = ranged(256, low=1)
    dropout: float = ranged(0.5, low=0.0, high=1, open_high=True)
    kl_weight: float = ranged(0.2, low=0.0)
    kl_step: float = ranged(1e-3, low=0.0)
    likelihood: str = ranged("sum", words=LIKELIHOODS)
    regularization: float = ranged(0.0, low=0.0)
    precision: str = ranged("float32", words=tuple(PRECISIONS))
    trainer: Trainer = field(default_factory=_adam)

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if self.trainer.backend == "numba":
            raise ConfigError("model.trainer.backend=numba has no networks: set backend=auto or torch")

    def idle(self, parts: Together) -> dict[str, str]:
        """There is one way to train it; a KL term without weight does not grow, nor one that never grows weigh."""
        found = super().idle(parts) | {"trainer.backend": "MultVAE has no numba kernel"}
        if self.kl_weight == 0:
            found["kl_step"] = "kl_weight is 0"
        elif self.kl_step == 0:
            found["kl_weight"] = "kl_step is 0, so the weight stays 0"
        return found

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Weights, each from its own stream of ``init``, and biases of 0."""
        shapes = {
            "input": (data.n_items, self.hidden_size),
            "code": (self.hidden_size, 2 * self.code_size),
            "hidden": (self.code_size, self.hidden_size),
            "output": (data.n_items, self.hidden_size),
        }
        params = {}
        for name, (rows, columns) in shapes.items():
            params[f"{name}_weight"] = xavier(seeds.child("init").numpy(name), rows, columns, rows)
            params[f"{name}_bias"] = torch.zeros(rows if name == "output" else columns)
        return params

    def encode(self, params: Params, observed: Observed, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``(n, code_size)`` of the codes of the rows of ``observed``.

        Args:
            params: The network.
            observed: Each user's items.
            kept: ``(n_cells,)`` factor of each cell, of dropout; None for none.
        """
        counts = observed.counts
        values = counts.clamp(min=1).to(params["input_weight"].dtype).rsqrt().index_select(0, observed.rows)
        values = values if kept is None else values * kept
        begins = observed.indptr[:-1]
        summed = F.embedding_bag(
            observed.indices, params["input_weight"], begins, mode="sum", per_sample_weights=values
        )
        hidden = (summed + params["input_bias"]).tanh()
        mean, log_variance = (hidden @ params["code_weight"] + params["code_bias"]).chunk(2, dim=1)
        return mean, log_variance

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean over the batch's users of minus the log-likelihood and the weighted KL, without ``regularization``.

        Args:
            params: The network.
            batch: Where in the second each user's items begin ``(n + 1,)``, items ``(n_cells,)``, their dropout factors
                ``(n_cells,)``, normal draws ``(n, code_size)`` and the weight of the KL term, a scalar.
        """
        indptr, items, kept, noise, kl_weight = batch
        observed = Observed(indptr, items, len(params["output_weight"]))
        mean, log_variance = self.encode(params, observed, kept)
        # a draw of the code that is differentiable in mean and variance
        hidden = self._decode(params, mean + noise * (log_variance / 2).exp())
        user_weights = torch.full_like(hidden[:, 0], 1 / len(hidden)).detach()
        if self.likelihood == "mean":
            user_weights = user_weights / observed.counts.clamp(min=1)
        output = params["output_weight"], params["output_bias"]
        likelihood = multinomial_loss(hidden, *output, observed, user_weights, self.precision)
        return likelihood + kl_weight * kl_to_standard_normal(mean, log_variance) / len(hidden)

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> BatchObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return _Reconstruction(self, Observed.of(data.seen, device), seeds.child("train"))

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Means of the codes ``(len(users), code_size)`` of ``users`` of ``data``."""
        device = params["input_weight"].device
        observed = Observed.of(data.seen[users.cpu().numpy()], device)
        return self.encode(params, observed)[0]

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Scores before the softmax ``(len(users), n_items)`` at the mean of each user's code."""
        hidden = self._decode(params, self.user_embeddings(params, data, users))
        return torch.addmm(params["output_bias"], hidden, params["output_weight"].T)

    def _decode(self, params: Params, code: Tensor) -> Tensor:
        """The decoder's hidden layer ``(n, hidden_size)``."""
        return (code @ params["hidden_weight"] + params["hidden_bias"]).tanh()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Sum of KL(N(mean, exp(log_variance)) | N(0, 1)) over all entries."""
    return (log_variance.exp() + mean.square() - 1 - log_variance).sum() / 2


class _Reconstruction(BatchObjective):
    def __init__(self, model: MultVAE, observed: Observed, seeds: Seeds) -> None:
        self.model, self.observed, self.seeds = model, observed, seeds
        self.weight_decay = model.regularization

    def inputs(self) -> object:
        """Model, data and stream."""
        return self.model, self.observed.indptr, self.observed.indices, self.seeds

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
        """What ``MultVAE.loss`` takes, for each batch of users."""
        model, observed = self.model, self.observed
        rows = RowBatches(observed.n_rows, trainer, self.seeds, device)
        generator = self.seeds.torch("noise", epoch, device=device)
        for number in rows.steps(epoch):
            users = rows(number)
            batch = observed if users is None else observed.take(*users)
            shares = torch.rand(len(batch.indices), generator=generator, device=device)
            kept = (shares >= model.dropout).to(shares.dtype) / (1 - model.dropout)
            noise = torch.randn(batch.n_rows, model.code_size, generator=generator, device=device)
            kl_weight = torch.full((), min(model.kl_weight, number * model.kl_step), device=device)
            yield batch.indptr, batch.indices, kept, noise, kl_weight

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step a batch; returns the mean of their losses."""
        device = state["param.input_weight"].device
        losses = []
        for batch in self.batches(trainer, epoch, device):
            params = {name: tensor.detach().requires_grad_() for name, tensor in slots(state, "param").items()}
            loss = self.model.loss(params, batch)
            gradients = torch.autograd.grad(loss, list(params.values()))
            self._step(trainer, state, dict(zip(params, gradients, strict=True)))
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def _step(self, trainer: Trainer, state: State, gradients: Params) -> None:
        """The rule of ``training/optimizers.py``; Adam in torch's one pass, which is five times as quick."""
        if trainer.optimizer != "adam":
            decayed = {name: g.add(state[f"param.{name}"], alpha=self.weight_decay) for name, g in gradients.items()}
            step(trainer.optimizer, state, decayed, trainer.learning_rate, trainer.eps)
            return
        kinds = ("param", "first", "second")
        params, first, second = ([state[f"{kind}.{name}"] for name in gradients] for kind in kinds)
        counts = [torch.full((), float(state["step"]), device=p.device) for p in params]
        adam(
            params, list(gradients.values()), first, second, [], counts, fused=True, amsgrad=False, beta1=BETAS[0],
            beta2=BETAS[1], lr=trainer.learning_rate, weight_decay=self.weight_decay, eps=trainer.eps, maximize=False,
        )  # fmt: skip
        state["step"] += 1
