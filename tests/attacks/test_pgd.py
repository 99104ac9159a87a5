"""PGD: from zero it is BIM, and its start is as wide as asked."""

import numpy as np
import pytest
import torch

from recpoison.attacks.embeddings.bim import BIM
from recpoison.attacks.embeddings.pgd import PGD
from recpoison.errors import ConfigError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

NOBODY = np.zeros(0, dtype=np.int64)


def tables(attack, victim, seed=0):
    return attack.perturb(victim, NOBODY, Seeds(seed), Progress()).tables


@pytest.mark.parametrize("projection", ["row_l2", "box", "none"])
@pytest.mark.parametrize("settings", [{"start": "zero"}, {"start_width": 0.0}])
def test_from_zero_it_is_bim(victim, projection, settings):
    settings |= {"steps": 3, "projection": projection}
    bim = tables(BIM(steps=3, projection=projection), victim)
    for name, table in tables(PGD(**settings), victim).items():
        assert torch.equal(table, bim[name])


def test_the_start_is_uniform_and_stays_where_there_is_no_gradient(victim):
    """With a step of next to nothing the shift is the start: mean 0, standard deviation width / sqrt(3)."""
    start = torch.cat(list(tables(PGD(steps=1, step_size=1e-12, start_width=0.06), victim).values())).flatten()
    assert start.abs().max() <= 0.06
    assert start.abs().max() > 0.058
    assert float(start.std()) == pytest.approx(0.06 / 3**0.5, rel=0.1)
    assert abs(float(start.mean())) < 0.005


def test_the_start_differs_by_seed_and_the_bound_holds_from_the_first_step(victim):
    one, other = (tables(PGD(epsilon=0.01, steps=1, start_width=1.0), victim, seed) for seed in (0, 1))
    assert not torch.equal(one["user"], other["user"])
    assert one["user"].double().norm(dim=1).max() <= 0.01 * (1 + 1e-6)


@pytest.mark.parametrize(("field", "value"), [("start", "normal"), ("start_width", -1.0)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ConfigError, match=rf"attack\.{field} is "):
        PGD(**{field: value})
