import numpy as np
import pytest

from recpoison.data.ids import LONGEST, ids_of_numbers, ids_of_texts, join, places_of
from recpoison.data.rows import Rows, number, stack


def texts(*words: str) -> np.ndarray:
    return np.array(words, dtype=object)


@pytest.mark.parametrize("word", ["007", "21.0", "1E3", "+7", "-0", "1_000", "\u0663", "9223372036854775808", "x"])
def test_one_id_that_is_no_plain_decimal_makes_all_of_them_text(word: str):
    assert ids_of_texts(texts("7", word, "10")).labels.tolist() == sorted(["7", word, "10"])


def test_plain_decimals_are_numbers_in_their_order():
    ids = ids_of_texts(texts("10", "-3", " 9", "9", "9223372036854775807"))
    assert ids.labels.tolist() == [-3, 9, 10, 2**63 - 1]
    assert ids.codes.tolist() == [2, 0, 1, 1, 3]


@pytest.mark.parametrize("numbers", [[7, 3, 7, -2], [2**62, -(2**62), 5, 2**62]])
def test_numbers(numbers: list[int]):
    ids = ids_of_numbers(np.array(numbers))
    labels, codes = np.unique(numbers, return_inverse=True)
    assert ids.labels.tolist() == labels.tolist()
    assert ids.codes.tolist() == codes.tolist()


def test_two_files_have_one_kind_of_id():
    big = ids_of_texts(texts(str(2**63 + 1), str(2**63 + 3)))
    both = join([big, ids_of_numbers(np.array([1, 12, 1]))])
    assert both.labels.tolist() == ["1", "12", "9223372036854775809", "9223372036854775811"]
    assert both.codes.tolist() == [2, 3, 0, 1, 0]
    assert join([ids_of_texts(texts("5")), ids_of_numbers(np.array([4]))]).labels.tolist() == [4, 5]


def test_ids_follow_the_order_of_labels():
    first = Rows(ids_of_numbers(np.array([30, 10])), ids_of_texts(texts("b", "a")), np.array([1.0, 2.0]))
    second = Rows(ids_of_numbers(np.array([30])), ids_of_numbers(np.array([7])))
    data = number(stack([first, second]), None)
    assert data.users.tolist() == [1, 0, 1]
    assert data.items.tolist() == [2, 1, 0]
    assert data.values.tolist() == [1.0, 1.0, 1.0]
    assert data.user_labels.tolist() == [10, 30]
    assert data.item_labels.tolist() == ["7", "a", "b"]


def test_places():
    assert places_of(np.array([5, 1, 9]), np.array([1, 5])).tolist() == [1, 0, -1]
    assert places_of(texts("b", "1"), texts("a", "b")).tolist() == [1, -1]
    assert places_of(np.array([5, 1]), texts("1", "05")).tolist() == [-1, 0]


def test_a_long_id_costs_its_own_length_and_has_a_bound():
    labels = ids_of_texts(np.array(["x" * 3000, *map(str, range(10_000))], dtype=object)).labels
    assert labels.dtype == object  # a fixed width would take 3,000 times four bytes for each
    with pytest.raises(ValueError, match="too long"):
        ids_of_texts(texts("x" * (LONGEST + 1)))
