"""What every filter shares whose detector learns from labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress

CPU = torch.device("cpu")


def is_filter_with(defense, detector, planted, seeds) -> None:
    fitted = replace(defense(), suspected=0.2).fit(Popularity(), planted.train, seeds, CPU, Progress())
    scores = detector().scores(planted.train)
    assert np.array_equal(fitted.suspicion, scores)
    assert fitted.removed.tolist() == np.argsort(-scores, kind="stable")[:8].tolist()


def oracle_is_told(defense, detector, planted, seeds) -> None:
    """And drops nobody where nobody is fake."""
    oracle = defense(detector(Labels("truth")), suspected=0.2)
    assert oracle.told
    assert not defense().told
    arguments = Popularity(), planted.train, seeds, CPU, Progress()
    assert oracle.fit(*arguments, None, planted.train).removed.tolist() == []
    with pytest.raises(ConfigError, match="nobody has said"):
        oracle.fit(*arguments)
