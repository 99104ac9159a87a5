"""What it shares with filter is tested there, and its detector in test_semi_sad."""

from labelled_filters import is_filter_with, oracle_is_told

from recpoison.defenses.detectors.semi_sad import SemiSAD
from recpoison.defenses.filter_semi_sad import FilterBySemiSAD


def test_it_is_filter_with_that_detector(planted, seeds):
    is_filter_with(FilterBySemiSAD, SemiSAD, planted, seeds)


def test_an_oracle_is_told_and_drops_nobody_where_nobody_is_fake(planted, seeds):
    oracle_is_told(FilterBySemiSAD, SemiSAD, planted, seeds)
