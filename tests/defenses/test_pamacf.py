"""PamaCF: what it is where users are alike, what its choice changes, and what it refuses."""

import pytest
from personal_shifts import MODELS, all_differ, refuses, trains_as_apr_where_users_are_alike

from recpoison.defenses.apr import APR
from recpoison.defenses.pamacf import PamaCF


def test_users_who_are_alike_train_as_with_apr():
    trains_as_apr_where_users_are_alike(PamaCF)


@pytest.mark.parametrize("model", MODELS)
def test_its_choice_matters_where_they_differ(planted, model):
    ways = PamaCF(), PamaCF(length="plain"), APR(unit="instance"), PamaCF(weight=0.0)
    all_differ(ways, MODELS[model], planted.train)


def test_what_it_refuses():
    refuses(PamaCF, "length", "square, plain")
