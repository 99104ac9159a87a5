"""What it shares with filter is tested there, and its detector in test_un_rap."""

from recpoison.defenses.detectors.un_rap import UnRAP
from recpoison.defenses.filter_un_rap import FilterByUnRAP


def test_it_is_filter_with_that_detector(tiny_explicit):
    scores = UnRAP().scores(tiny_explicit)
    assert FilterByUnRAP(suspected=0.25).suspects(tiny_explicit).tolist() == [int(scores.argmax())]
