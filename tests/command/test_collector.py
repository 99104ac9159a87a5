"""Python's collector is slow to come while a command starts, and as it was afterwards."""

import gc

import pytest

from recpoison.command.collector import collected_seldom, started


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    gc.set_threshold(601, 11, 12)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_the_work_is_collected_as_usual_and_what_was_there_is_left_alone():
    with collected_seldom(own=True):
        assert gc.get_threshold() == (50_000, 11, 12)
        gc.unfreeze()
        started()
        assert gc.get_threshold() == (601, 11, 12)
        frozen = gc.get_freeze_count()
        assert frozen > 1000
        kept = [[] for _ in range(10)]
        started()  # a second run of a sweep: what the first left is to be collected
        assert gc.get_freeze_count() == frozen
        assert len(kept) == 10
    assert gc.get_threshold() == (601, 11, 12)


def test_a_command_that_does_not_get_to_work_leaves_the_collector_as_it_was():
    with pytest.raises(ValueError, match="stopped"), collected_seldom(own=True):
        raise ValueError("stopped")
    assert gc.get_threshold() == (601, 11, 12)
    started()
    assert gc.get_freeze_count() == 0


def test_anothers_process_is_left_alone():
    with collected_seldom(own=False):
        assert gc.get_threshold() == (601, 11, 12)
        started()
        assert gc.get_freeze_count() == 0
