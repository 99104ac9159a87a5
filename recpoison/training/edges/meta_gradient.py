"""How the loss after training moves with each label: the meta-gradient, through every step or without looking back."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recpoison.algebra.unroll import Optimizer, Tensors, unroll
from recpoison.data.interactions import LabelledEdges
from recpoison.errors import ConfigError
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.edges.network import Network
from recpoison.training.edges.passes import EdgePass
from recpoison.training.edges.trainer import EdgeTrainer, columns
from recpoison.training.trainer import Diverged

OUTER_LABELS = ("included", "fixed")
SUMS = ("before_steps", "after_steps", "dependence")


class MetaGradient(NamedTuple):
    """What a change of each label does, on the CPU.

    Args:
        gradient: ``(n,)`` derivative of the mean log loss after training, on the same edges, in their labels.
        logits: ``(n,)`` at the end of training, without dropout.
    """

    gradient: Tensor
    logits: Tensor


def meta_gradient(
    network: Network,
    trainer: EdgeTrainer,
    params: Params,
    edges: LabelledEdges,
    seeds: Seeds,
    *,
    outer_labels: str = "included",
    approximate: str | None = None,
    memory_mb: float = 256.0,
    setting: str = "attack.surrogate.edge_trainer",
) -> MetaGradient:
    """Train by ``trainer`` from ``params`` and differentiate the loss there, a mean over ``edges``, in their labels.

    The exact one (algorithm 1 of the report) goes back through all steps. An approximate one (algorithm 3) takes the
    parameters of each step for given and adds up what the labels do to the loss there, -logit / n.

    Args:
        network: The sizes.
        trainer: The steps, those of its ``fit`` with the same ``seeds``.
        params: Initial values, which say the device and the float type.
        edges: All of them; labels may be any numbers.
        seeds: Stream of dropout.
        outer_labels: ``included``: the loss after training is on the labels that move; ``fixed``: on those that were
            given, so that they act through training alone.
        approximate: None: exact. Else a sum of -logit / n over the parameters ``before_steps`` (t = 0 to T - 1: as
            algorithm 3 runs) or ``after_steps`` (t = 1 to T: as its equation has it), or ``dependence``: after steps,
            each with what the labels did to its parameters through the one step before.
        memory_mb: Within which the exact one keeps all states; beyond it keeps every sqrt(T)-th and steps again.
        setting: How the user names ``trainer``, for messages.

    Raises:
        ConfigError: If a choice is unknown, nothing would be left of the gradient, or memory does not suffice.
        Diverged: If a number is not finite.

    Example:
        >>> edges = LabelledEdges(np.array([0, 0]), np.array([0, 1]), np.array([1.0, 0.0]))
        >>> params = {"user": torch.ones(1, 1), "item": torch.ones(2, 1), "bias": torch.zeros(1)}
        >>> network, trainer = Network(product_size=1, weighted=False), EdgeTrainer(steps=0)
        >>> meta_gradient(network, trainer, params, edges, Seeds(0)).gradient  # no step: -logit / n
        tensor([-0.5000, -0.5000])
    """
    _check(outer_labels, approximate)
    users, items, labels = columns(edges, params["user"])
    training = _Training(
        trainer.edge_pass(network, users, items), trainer.rule, trainer.steps, trainer.draws(network, seeds), labels
    )
    first = tuple(params[name].detach() for name in network.names)
    if approximate is None:
        segment = _segment(training, first, memory_mb)
        found = _exact(training, first, segment, outer_labels == "included")
    else:
        found = _sum(training, first, approximate, outer_labels == "included")
    on_host = torch.stack(list(found)).cpu()  # one wait for both
    if not bool(on_host.isfinite().all()):
        raise Diverged(
            f"the meta-gradient through {trainer.steps} steps left the finite numbers: "
            f"lower {setting}.learning_rate (now {trainer.learning_rate:g}) or {setting}.steps"
        )
    return MetaGradient(*on_host)


def _check(outer_labels: str, approximate: str | None) -> None:
    if outer_labels not in OUTER_LABELS:
        raise ConfigError(f"attack.outer_labels is {outer_labels!r}: choose one of {', '.join(OUTER_LABELS)}")
    if approximate is not None and approximate not in SUMS:
        raise ConfigError(f"attack.approximate_sum is {approximate!r}: choose one of {', '.join(SUMS)}")
    if approximate in ("before_steps", "after_steps") and outer_labels == "fixed":
        raise ConfigError(
            f"attack.outer_labels=fixed leaves nothing of a sum {approximate}: "
            "set attack.outer_labels=included or attack.approximate_sum=dependence"
        )


class _Training(NamedTuple):
    passes: EdgePass
    rule: Optimizer
    steps: int
    draws: Callable[[int], int | None]
    labels: Tensor

    def gradient(self, number: int, params: Tensors, labels: Tensor, total: Tensor) -> Tensors:
        """Of step ``number``, as ``unroll`` asks for it; on the way back adds to ``total`` what labels do there."""
        slopes: Tensors = _Slopes.apply(self, number, total, labels, *params)
        return slopes

    def of_label(self, derivative: Tensor) -> Tensor:
        """What a label adds to the gradient (of a loss or of a product with a vector): minus the logit's, over n."""
        return derivative / -len(self.labels)


class _Slopes(torch.autograd.Function):
    """The gradient of the loss, which is linear in the labels and has the loss's curvature as its derivative.

    The derivative in the labels is added to a tensor, step by step from the last, and not returned: sums over some of
    the steps, when these are taken again, would round otherwise than one sum over all.
    """

    @staticmethod
    def forward(ctx: Any, training: _Training, number: int, total: Tensor, labels: Tensor, *params: Tensor) -> Tensors:
        ctx.given = training, number, total
        ctx.save_for_backward(labels, *params)
        return training.passes.gradient(params, labels, training.draws(number))[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        training, number, total = ctx.given
        labels, *params = ctx.saved_tensors
        of_logits, products = training.passes.product(tuple(params), labels, along, training.draws(number))
        total += training.of_label(of_logits)
        return (None, None, None, None, *products)


def _exact(training: _Training, first: Tensors, segment: int | None, included: bool) -> MetaGradient:
    labels, total = training.labels.detach().requires_grad_(), torch.zeros_like(training.labels)
    with torch.enable_grad():
        inner = partial(training.gradient, total=total)
        last = unroll(training.rule, inner, first, labels, training.steps, training.steps, segment)
    logits, slopes = training.passes.gradient(tuple(p.detach() for p in last), training.labels, None)
    if training.steps:
        torch.autograd.grad(last, labels, slopes, allow_unused=True)
    return MetaGradient(total + training.of_label(logits) if included else total, logits)


def _sum(training: _Training, first: Tensors, which: str, included: bool) -> MetaGradient:
    n, state, before = len(first), training.rule.start(first), None
    total = torch.zeros_like(training.labels)
    for number in range(training.steps + 1):
        draw = training.draws(number) if number < training.steps else None
        logits, slopes = training.passes.gradient(state[:n], training.labels, draw)
        if included and (number < training.steps if which == "before_steps" else number > 0):
            total += training.of_label(logits)
        if which == "dependence" and before is not None:
            total += training.of_label(_looked_back(training, number - 1, before, slopes))
        if number < training.steps:
            before = state, slopes
            state = training.rule.step(number, state, slopes)
    return MetaGradient(total, logits)


def _looked_back(training: _Training, number: int, before: tuple[Tensors, Tensors], cotangents: Tensors) -> Tensor:
    """Derivative of the logits before step ``number`` along what ``cotangents`` of its outcome say of its gradient."""
    state, slopes = before
    leaves = tuple(slope.detach().requires_grad_() for slope in slopes)
    with torch.enable_grad():
        after = training.rule.step(number, state, leaves)[: len(leaves)]
        along = torch.autograd.grad(after, leaves, cotangents)
    return training.passes.product(state[: len(leaves)], training.labels, along, training.draws(number))[0]


def _segment(training: _Training, first: Tensors, memory_mb: float) -> int | None:
    """Steps between two kept states: None (all are kept) within the limit, else what needs least memory.

    A step keeps the state after it and its gradient; a state kept alone, the parameters and what the rule remembers.
    """
    table, slots, steps = sum(tensor.nbytes for tensor in first), training.rule.slots, training.steps
    limit = memory_mb * 2**20
    if steps * (slots + 1) * table <= limit:
        return None
    best = math.ceil(math.sqrt(steps))
    needed = best * (slots + 1) * table + math.ceil(steps / best) * slots * table
    if needed > limit:
        raise ConfigError(
            f"attack.memory_mb is {memory_mb:g}, but a meta-gradient through {steps} steps needs "
            f"{needed / 2**20:,.0f} MB even when every step is taken twice: raise it, or lower the surrogate's steps"
        )
    return best
