"""What it shares with filter is tested there, and its detector in test_semi_sad."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.defenses.detectors.semi_sad import SemiSAD
from recpoison.defenses.filter_semi_sad import FilterBySemiSAD
from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress


def test_it_is_filter_with_that_detector(planted, seeds):
    defense = replace(FilterBySemiSAD(), suspected=0.2)
    fitted = defense.fit(Popularity(), planted.train, seeds, torch.device("cpu"), Progress())
    scores = SemiSAD().scores(planted.train)
    assert np.array_equal(fitted.suspicion, scores)
    assert fitted.removed.tolist() == np.argsort(-scores, kind="stable")[:8].tolist()


def test_an_oracle_is_told_and_drops_nobody_where_nobody_is_fake(planted, seeds):
    defense = FilterBySemiSAD(SemiSAD(Labels("truth")), suspected=0.2)
    assert defense.told
    assert not FilterBySemiSAD().told
    arguments = Popularity(), planted.train, seeds, torch.device("cpu"), Progress()
    assert defense.fit(*arguments, None, planted.train).removed.tolist() == []
    with pytest.raises(ConfigError, match="nobody has said"):
        defense.fit(*arguments)
