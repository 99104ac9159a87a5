"""The one place where an evaluation asks a model for scores: what comes back may be a stranger's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recpoison.errors import UserError
from recpoison.models.base import Fitted


def ask(fitted: Fitted, users: Tensor, n_items: int) -> Tensor:
    """Scores ``(len(users), n_items)`` in float32 or float64, without a gradient; they may still not be finite.

    Tensors and numpy arrays of real numbers are taken, a gradient is left out, and whole numbers become float64, in
    which large ones stay different.

    Raises:
        UserError: If the model gives anything else, naming it and what is expected.
    """
    with torch.no_grad():
        given = fitted.scores(users)
    scores = _tensor(given)
    if scores is None or not _fits(scores, users, n_items):
        raise UserError(
            f"{type(fitted.model).__name__}.scores gave {_told(scores, given)}: a row for each of "
            f"{len(users)} users and a column for each of {n_items} items are expected, as a tensor of real numbers "
            f"on {users.device}"
        )
    if scores.dtype in (torch.float32, torch.float64):
        return scores
    return scores.float() if scores.is_floating_point() else scores.double()


def not_finite(fitted: Fitted, scores: Tensor, users: np.ndarray) -> UserError:
    """What is said of ``scores`` of ``users`` that are not all finite."""
    row, item = (~torch.isfinite(scores)).nonzero()[0].tolist()
    return UserError(
        f"{type(fitted.model).__name__}.scores gave {scores[row, item].item()} for user {users[row]} and item {item}, "
        "but scores that are infinite or not a number have no rank: where a fit diverged, lower model.learning_rate "
        "or check the model's settings"
    )


def _tensor(given: object) -> Tensor | None:
    """What is given as a tensor without a gradient, None for what is neither a tensor nor an array of real numbers."""
    if isinstance(given, Tensor):
        return given.detach()
    if isinstance(given, np.ndarray) and given.dtype.kind in "buif":
        small = given.dtype.kind == "f" and given.dtype.itemsize <= 4
        return torch.from_numpy(np.require(given, np.float32 if small else np.float64, ["C", "W"]))
    return None


def _fits(scores: Tensor, users: Tensor, n_items: int) -> bool:
    return (
        scores.shape == (len(users), n_items)
        and not scores.is_complex()
        and not scores.is_quantized
        and scores.layout == torch.strided
        and scores.device in (users.device, torch.device("cpu"))
    )


def _told(scores: Tensor | None, given: object) -> str:
    """What was given, in words."""
    if isinstance(given, np.ndarray):
        return f"an array of shape {given.shape} and type {given.dtype}"
    if scores is None:
        return f"an object of type {type(given).__name__}"
    layout = "" if scores.layout == torch.strided else f" ({str(scores.layout).removeprefix('torch.')})"
    dtype = str(scores.dtype).removeprefix("torch.")
    return f"a tensor{layout} of shape {tuple(scores.shape)} and type {dtype} on {scores.device}"
