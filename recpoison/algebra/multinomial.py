"""The softmax over all items as the last layer of a network, without autograd's many passes over users x items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recpoison.algebra.observed import Observed

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
CACHED_ROWS = 64  # rows of scores that fit a CPU's cache at some 10,000 items; other devices take a block at once


def multinomial_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    observed: Observed,
    user_weights: Tensor,
    precision: str = "float32",
    block: int = 1024,
) -> Tensor:
    """Minus the weighted log-likelihood of each user's items (Liang et al. 2018, equation 2); differentiable once.

    The sum over users u of user_weights_u times the sum over u's items i of -ln softmax(weight hidden_u + bias)_i.
    Exact. The gradients are made while the scores are at hand: three matrix products, and one buffer for scores,
    exponentials and gradient.

    Args:
        hidden: ``(n_users, size)``.
        weight: ``(n_items, size)``.
        bias: ``(n_items,)``.
        observed: Each user's items.
        user_weights: ``(n_users,)``, constants.
        precision: ``float32`` multiplies in the type of the inputs. ``bfloat16`` rounds both sides of the three
            products and what they give to 8 bits; sums inside them, exponentials and the loss are in the inputs' type.
        block: Users whose scores are held at once.
    """
    return _MultinomialLoss.apply(hidden, weight, bias, observed, user_weights, PRECISIONS[precision], block)


class _MultinomialLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        observed: Observed,
        user_weights: Tensor,
        low: torch.dtype | None,
        block: int,
    ) -> Tensor:
        left, right = hidden.to(low or hidden.dtype), weight.to(low or weight.dtype)
        g_hidden, g_weight, g_bias = (torch.zeros_like(tensor) for tensor in (hidden, weight, bias))
        buffer = left.new_empty(min(block, len(left)), len(right))
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        for start in range(0, len(left), block):
            users = slice(start, min(start + block, len(left)))
            scores = torch.mm(left[users], right.T, out=buffer[: users.stop - start])
            total += _scores_to_slopes(scores, bias, observed, user_weights, start, g_bias)
            g_hidden[users] = scores @ right
            if low is None:
                g_weight.addmm_(scores.T, left[users])
            else:
                g_weight += scores.T @ left[users]
        ctx.save_for_backward(g_hidden, g_weight, g_bias)
        return total.to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * saved for saved in ctx.saved_tensors), None, None, None, None)


def _scores_to_slopes(
    scores: Tensor, bias: Tensor, observed: Observed, user_weights: Tensor, first: int, g_bias: Tensor
) -> Tensor:
    """Overwrite the scores of users ``first``, ... by the loss's gradient in them, add up the bias's; the loss."""
    total = torch.zeros((), dtype=torch.float64, device=bias.device)
    at_once = min(CACHED_ROWS, len(scores)) if bias.device.type == "cpu" else len(scores)
    part = bias.new_empty(at_once, len(bias))
    for start in range(0, len(scores), at_once):
        rows = slice(start, min(start + at_once, len(scores)))
        users = slice(first + rows.start, first + rows.stop)
        logits = part[: rows.stop - start].copy_(scores[rows]).add_(bias)
        place, items, weights = _cells(observed, user_weights, users)
        logits -= logits.amax(dim=1, keepdim=True)
        chosen = logits[place, items]
        masses = logits.exp_().sum(dim=1, keepdim=True)
        total += (weights * (masses.log()[place, 0] - chosen)).sum(dtype=torch.float64)
        # the gradient in a user's scores: weight times (their number of items x softmax, minus 1 at each of the items)
        logits *= (user_weights[users] * observed.counts[users])[:, None] / masses
        logits.index_put_((place, items), -weights, accumulate=True)
        g_bias += logits.sum(dim=0)
        scores[rows] = logits
    return total


def _cells(observed: Observed, user_weights: Tensor, users: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Row within ``users``, item and weight of each of their cells."""
    counts = observed.counts[users]
    whole = users == slice(0, observed.n_rows)  # of all cells nobody need ask where they begin
    ends = torch.stack([observed.indptr[users.start], observed.indptr[users.stop]])
    first, last = (0, len(observed.indices)) if whole else ends.tolist()
    cells = slice(first, last)
    place = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts, output_size=last - first)
    return place, observed.indices[cells], user_weights[users].index_select(0, place)
