"""What it shares with filter is tested there, and its detector in test_fap."""

from labelled_filters import is_filter_with, oracle_is_told

from recpoison.defenses.detectors.fap import FAP
from recpoison.defenses.filter_fap import FilterByFAP


def test_it_is_filter_with_that_detector(planted, seeds):
    is_filter_with(FilterByFAP, FAP, planted, seeds)


def test_an_oracle_is_told_and_drops_nobody_where_nobody_is_fake(planted, seeds):
    oracle_is_told(FilterByFAP, FAP, planted, seeds)
