import numpy as np
import pytest

from recpoison.evaluation.suspicion import caught, weighed


def shares(removed: list[int], n_real: int, n_fakes: int) -> dict[str, tuple[float, int]]:
    measures = caught(np.array(removed, dtype=np.int64), n_real, n_fakes)
    assert {m.subject for m in measures} == {"removed"}
    return {m.metric: (m.value, m.n) for m in measures}


def test_by_hand() -> None:
    """Of ten real users and four fake ones (10 to 13), user 2 and three fake ones are removed."""
    expected = {"Precision": (0.75, 4), "Recall": (0.75, 4), "RealUsersLost": (0.1, 10)}
    assert shares([12, 2, 10, 13], 10, 4) == expected
    assert shares([0, 1, 10], 10, 4) == {"Precision": (1 / 3, 3), "Recall": (0.25, 4), "RealUsersLost": (0.2, 10)}


def test_what_does_not_exist_is_not_told() -> None:
    assert shares([0, 1], 10, 0) == {"RealUsersLost": (0.2, 10)}
    assert shares([], 10, 4) == {"Recall": (0.0, 4), "RealUsersLost": (0.0, 10)}


def test_auroc_is_the_share_of_pairs_in_order_whoever_is_removed() -> None:
    """Real 1, 2, 3 against fake 2 and 9: of six pairs 1 < 2, 2 = 2 (half), and three below 9 are in order."""
    suspicion = np.array([1.0, 2, 3, 2, 9])
    for removed in ([4], [0, 1, 4]):
        last = caught(np.array(removed), 3, 2, suspicion)[-1]
        assert (last.subject, last.metric, last.n) == ("removed", "AUROC", 2)
        assert last.value == pytest.approx(4.5 / 6)
    assert [m.metric for m in caught(np.array([0]), 5, 0, suspicion)] == ["RealUsersLost"], "nobody to find"


def test_weights_by_hand() -> None:
    """Real 1, 1, 0.4 against fake 0.4 and 0.1: of six pairs, five have the fake user below and one is a tie."""
    told = {m.metric: (m.value, m.n) for m in weighed(np.array([1, 1, 0.4, 0.4, 0.1]), 3, 2)}
    assert told == {
        "FakeUsersWeight": (0.25, 2),
        "RealUsersWeight": (pytest.approx(0.8), 3),
        "AUROC": (pytest.approx(5.5 / 6), 2),
    }
    clean = weighed(np.array([1, 0.5]), 2, 0)
    assert [(m.subject, m.metric, m.value, m.n) for m in clean] == [("weighed", "RealUsersWeight", 0.75, 2)]
