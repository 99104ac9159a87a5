"""What comes back from a model's ``scores`` is looked at before it is ranked."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from given_scores import CPU, GivenScores

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.errors import UserError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.evaluation.ranks import Ranks
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.seeds import Seeds

TABLE = np.random.default_rng(0).permutation(64 * 40).reshape(64, 40) - 1000


@dataclass(frozen=True)
class Mine(GivenScores):
    """Gives what ``turned`` makes of the right scores."""

    turned: Any = field(default=None)

    def scores(self, params, data, users):
        return self.turned(super().scores(params, data, users))


def seen_of(turned) -> Ranks:
    users = np.arange(64)
    train = Interactions(users, users % 40, np.ones(64), 64, 40)
    split = Split(train, Interactions(users, (users + 1) % 40, np.ones(64), 64, 40))
    fitted = Fitted(Mine(turned), {"table": torch.from_numpy(TABLE).double()}, train)
    return FullRanking(cutoffs=(5,)).look(fitted, split, np.array([3]), Seeds(0), CPU, Progress())


def same(one: Ranks, other: Ranks) -> bool:
    return all(np.array_equal(array, other.arrays()[name]) for name, array in one.arrays().items())


@pytest.mark.parametrize(
    "turned",
    [
        pytest.param(lambda scores: scores.numpy(), id="numpy"),
        pytest.param(lambda scores: scores.float().numpy(), id="numpy float32"),
        pytest.param(lambda scores: scores.numpy().astype(">f8"), id="numpy of the other byte order"),
        pytest.param(lambda scores: scores.numpy()[:, ::-1].copy()[:, ::-1], id="numpy backwards"),
        pytest.param(lambda scores: np.broadcast_to(scores.numpy(), scores.shape), id="numpy read only"),
        pytest.param(lambda scores: scores.clone().requires_grad_(), id="gradient"),
        pytest.param(lambda scores: scores.long(), id="whole numbers"),
        pytest.param(lambda scores: scores.long() + 2**40, id="large whole numbers"),
        pytest.param(lambda scores: scores.T.contiguous().T, id="not contiguous"),
    ],
)
def test_what_is_harmless_gives_the_same_ranks(turned):
    assert same(seen_of(turned), seen_of(lambda scores: scores))


@pytest.mark.parametrize(
    ("turned", "told"),
    [
        pytest.param(lambda s: s[:1], r"a tensor of shape \(1, 40\)", id="one row"),
        pytest.param(lambda s: s.T, r"a tensor of shape \(40, 64\)", id="transposed"),
        pytest.param(lambda s: s[:, :-1], r"a tensor of shape \(64, 39\)", id="an item too few"),
        pytest.param(lambda s: s[:, 0], r"a tensor of shape \(64,\)", id="a vector"),
        pytest.param(lambda s: s[None], r"a tensor of shape \(1, 64, 40\)", id="three axes"),
        pytest.param(lambda s: s.numpy()[:3], r"an array of shape \(3, 40\) and type float64", id="an array"),
        pytest.param(lambda s: s.numpy().astype(object), "an array of .* and type object", id="objects"),
        pytest.param(lambda s: s.numpy().astype(str), "an array of .* and type <U", id="text"),
        pytest.param(lambda s: s.tolist(), "an object of type list", id="a list"),
        pytest.param(lambda s: None, "None", id="nothing"),
        pytest.param(lambda s: s.to(torch.complex64), "a tensor .* type complex64", id="complex"),
        pytest.param(lambda s: s.to_sparse(), r"a tensor \(sparse_coo\)", id="sparse"),
        pytest.param(lambda s: s.to("meta"), "a tensor .* on meta", id="another device"),
    ],
)
def test_what_cannot_be_ranked_is_one_sentence(turned, told):
    expected = (
        f"^Mine.scores gave {told}.*: a row for each of 64 users and a column for each of 40 items are expected, as"
    )
    with pytest.raises(UserError, match=expected) as error:
        seen_of(turned)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(("value", "told"), [(np.nan, "nan"), (-np.inf, "-inf"), (np.inf, "inf")])
def test_a_score_without_a_rank_is_named(value, told):
    def turned(scores):
        scores[7, 9] = value
        return scores

    with pytest.raises(
        UserError, match=f"^Mine.scores gave {told} for user 7 and item 9, but scores that are infinite"
    ):
        seen_of(turned)
