"""Where a model is asked for scores and an evaluation for a look: what comes back may be a stranger's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recpoison.border import as_tensor, called, in_words, is_plain, method
from recpoison.errors import UserError
from recpoison.evaluation.base import Evaluation, Measure
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
    scores = as_tensor(given)
    if scores is None or scores.shape != (len(users), n_items) or not is_plain(scores, users.device):
        raise UserError(
            f"{type(fitted.model).__name__}.scores gave {in_words(given)}: a row for each of "
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


def look(evaluation: Evaluation[Any], *arguments: Any) -> Any:
    """What ``evaluation.look`` gives for ``arguments``.

    Raises:
        UserError: If that is no record.
    """
    seen = called(evaluation.look, *arguments)
    if not all(callable(getattr(seen, name, None)) for name in ("save", "arrays")):
        raise UserError(
            f"{method(evaluation.look)} gave {in_words(seen)}: a record with the methods save and arrays is expected, "
            "such as recpoison.evaluation.ranks.Ranks"
        )
    return seen


def measures(evaluation: Evaluation[Any], *seen: Any) -> list[Measure]:
    """What ``evaluation.measures`` makes of a record, and of the one without the attack where there is one.

    Raises:
        UserError: If that is no list of measures.
    """
    found = called(evaluation.measures, *seen)
    if not isinstance(found, Sequence) or not all(isinstance(one, Measure) for one in found):
        odd = (
            next((one for one in found if not isinstance(one, Measure)), None) if isinstance(found, Sequence) else None
        )
        what = in_words(found) if odd is None else f"a {type(found).__name__} with {in_words(odd)} in it"
        raise UserError(f"{method(evaluation.measures)} gave {what}: a list of Measure is expected")
    return list(found)
