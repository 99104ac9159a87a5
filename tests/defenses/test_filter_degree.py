"""What it shares with filter is tested there, and its detector in test_degree_features."""

from dataclasses import replace

import numpy as np
import torch

from recpoison.defenses.detectors.degree_features import DegreeFeatures
from recpoison.defenses.filter import FilterThenFit
from recpoison.defenses.filter_degree import FilterByDegree
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress


def test_it_is_filter_with_that_detector(planted, seeds):
    defense = replace(FilterByDegree(), suspected=0.2)
    plain = FilterThenFit(DegreeFeatures(), 0.2)
    fits = [d.fit(Popularity(), planted.train, seeds, torch.device("cpu"), Progress()) for d in (defense, plain)]
    assert fits[0].removed.tolist() == fits[1].removed.tolist() == plain.suspects(planted.train).tolist()
    assert np.array_equal(fits[0].suspicion, DegreeFeatures().scores(planted.train))
    assert len(fits[0].removed) == 8
