"""What it shares with filter is tested there, and its detector in test_degree_sad."""

from labelled_filters import is_filter_with, oracle_is_told

from recpoison.defenses.detectors.degree_sad import DegreeSAD
from recpoison.defenses.filter_degree_sad import FilterByDegreeSAD


def test_it_is_filter_with_that_detector(planted, seeds):
    is_filter_with(FilterByDegreeSAD, DegreeSAD, planted, seeds)


def test_an_oracle_is_told_and_drops_nobody_where_nobody_is_fake(planted, seeds):
    oracle_is_told(FilterByDegreeSAD, DegreeSAD, planted, seeds)
