"""Edges and zeros: how they are drawn and divided, and what is measured on them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.attacks.embeddings.bim import BIM
from recpoison.attacks.none import NoAttack
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split, Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.evaluation.judged_edges import JudgedEdges, measure
from recpoison.evaluation.link_prediction import LinkPrediction
from recpoison.models.base import Fitted
from recpoison.models.bprmf import BPRMF
from recpoison.models.cf import CF
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


def some_rows(n_users: int = 30, n_items: int = 20) -> Interactions:
    users, items = np.nonzero(np.random.default_rng(0).random((n_users, n_items)) < 0.3)
    return Interactions(users, items, np.arange(len(users)) % 5 + 1.0, n_users, n_items)


def loaded(data: Interactions) -> Split:
    return Split(data, data.take(np.zeros(0, dtype=np.int64)))


def keys(users: np.ndarray, items: np.ndarray, n_items: int = 20) -> list[int]:
    return (users * n_items + items).tolist()


def divided(data: Interactions, seed: int = 0, **settings) -> Split:
    return LinkPrediction(**settings).divide(loaded(data), Seeds(seed))


def every(split: Split) -> list[list[int]]:
    """Keys of training rows, test rows, training zeros and test zeros."""
    tables = [split.train, split.test]
    return [keys(t.users, t.items) for t in tables] + [keys(*t.zeros) for t in tables]


def test_metrics_by_hand() -> None:
    """Probabilities 3/4, 1/4, 1/2 and 1/2 of an edge, a zero, an edge and a zero; one half is no edge."""
    labels, logits = np.array([True, False, True, False]), np.array([math.log(3), -math.log(3), 0, 0])
    assert measure("Accuracy", labels, logits) == 3 / 4
    assert measure("AUROC", labels, logits) == 3.5 / 4
    assert measure("LogLoss", labels, logits) == pytest.approx((2 * math.log(4 / 3) + 2 * math.log(2)) / 4)


def test_log_loss_of_a_certain_mistake_is_its_logit_and_no_overflow() -> None:
    assert measure("LogLoss", np.array([False, True]), np.array([3000.0, -1000.0])) == 2000
    assert measure("LogLoss", np.array([True, False]), np.array([3000.0, -1000.0])) == 0


def test_what_cannot_be_told_is_no_number() -> None:
    assert math.isnan(measure("AUROC", np.array([True, True]), np.array([1.0, 2.0])))
    assert math.isnan(measure("Accuracy", np.zeros(0, dtype=bool), np.zeros(0)))


def test_both_signs_are_divided_by_the_same_share() -> None:
    data = some_rows()
    split = divided(data, unseen=0.25)
    train, test, zeros, unseen_zeros = every(split)
    rows = sorted(keys(data.users, data.items))
    assert sorted(train + test) == rows
    assert len(set(zeros + unseen_zeros)) == len(zeros + unseen_zeros) == len(rows), "as many zeros as pairs"
    assert not set(zeros + unseen_zeros) & set(rows)
    assert len(test) == len(unseen_zeros) == round(0.25 * len(rows))
    assert split.held_out == f"a random 25% of the pairs and of {len(rows)} sampled zeros"
    values = dict(zip(keys(data.users, data.items), data.values, strict=True))
    assert [values[key] for key in train] == split.train.values.tolist()


def test_all_pairs_without_a_row_are_as_likely() -> None:
    """5 of 12 free pairs in 600 draws: each about 250 times, within five standard deviations."""
    users, items = np.nonzero(np.eye(4))
    data = Interactions(users, items, np.ones(4), 4, 4)
    counts = np.zeros(16)
    for seed in range(600):
        zeros = divided(data, seed, zeros=5, unseen=0.0, edges="train").train.zeros
        counts[zeros.users * 4 + zeros.items] += 1
    assert (counts.reshape(4, 4)[np.eye(4, dtype=bool)] == 0).all()
    free = counts.reshape(4, 4)[~np.eye(4, dtype=bool)]
    assert free.sum() == 3000
    assert (abs(free - 250) < 5 * math.sqrt(600 * (5 / 12) * (7 / 12))).all()


def test_every_free_pair_can_be_asked_for_and_no_more() -> None:
    data = some_rows()
    free = 600 - len(data)
    split = divided(data, zeros=free, unseen=0.0, edges="train")
    assert len(split.train.zeros.users) == free
    assert (len(split.test), len(split.test.zeros.users)) == (0, 0)
    with pytest.raises(ConfigError, match=rf"evaluation\.zeros is {free + 1}, but only {free} pairs have no row"):
        divided(data, zeros=free + 1)


def test_the_division_is_the_same_for_the_seed_and_knows_no_order_of_rows() -> None:
    data = some_rows()
    shuffled = data.take(np.random.default_rng(1).permutation(len(data)))
    assert divided(data).fingerprint == divided(shuffled).fingerprint
    assert divided(data).fingerprint != divided(data, seed=1).fingerprint


def test_repeats_of_a_pair_stay_together() -> None:
    """30 pairs, each in 3 rows: 24 are trained on with all their rows, 6 are held out once."""
    users, items = np.divmod(np.arange(30), 5)
    data = Interactions(np.tile(users, 3), np.tile(items, 3), np.ones(90), 6, 20)
    split = divided(data)
    train, test, zeros, unseen_zeros = every(split)
    assert (len(train), len(test), len(zeros), len(unseen_zeros)) == (72, 6, 24, 6)
    assert len(set(train)) == 24
    assert not set(train) & set(test)
    assert any(note.startswith("60 of 90 rows repeat a pair") for note in split.notes)


def test_who_has_no_training_edge_is_said() -> None:
    data = Interactions([0, 0, 1], [0, 1, 1], [1, 1, 1], n_users=3, n_items=4)
    split = divided(data, unseen=0.0, edges="train")
    assert split.notes == ("1 of 3 users and 2 of 4 items have no training edge",)
    everybody = Interactions([0, 1, 2], [0, 1, 0], [1, 1, 1], n_users=3, n_items=2)
    assert divided(everybody, unseen=0.0, edges="train").notes == ()


def test_the_datasets_own_split_does_not_matter() -> None:
    parts = [
        Parts(Synthetic("s", n_users=20, n_items=15, split=Splitter(method)), CF(), evaluation=LinkPrediction())
        for method in ("leave_one_out_random", "ratio")
    ]
    assert parts[0].dataset == parts[1].dataset
    assert "LinkPrediction divides all rows itself" in parts[0].idle["dataset.split.method"]


def judged(split: Split, data: Interactions, **settings) -> tuple[LinkPrediction, JudgedEdges]:
    """A model that gives item i log odds i - 9.5, whoever asks."""
    params = {
        "user": torch.ones(data.n_users, 1),
        "item": torch.arange(data.n_items).float().unsqueeze(1),
        "bias": torch.full((1,), -9.5),
    }
    evaluation = LinkPrediction(**settings)
    fitted = Fitted(CF(embedding_size=1, hidden=()), params, data)
    return evaluation, evaluation.look(fitted, split, np.zeros(0, dtype=int), Seeds(0), CPU, Progress())


def test_numbers_are_of_the_pairs_asked_for() -> None:
    split = divided(some_rows())
    for edges, table in (("unseen", split.test), ("train", split.train)):
        evaluation, seen = judged(split, split.train, edges=edges)
        found = {m.metric: m for m in evaluation.measures(seen)}
        right = (table.items > 9).sum() + (table.zeros.items <= 9).sum()
        n = len(table) + len(table.zeros.users)
        assert found["Accuracy"].n == n
        assert found["Accuracy"].value == pytest.approx(right / n)
        z = np.concatenate([table.items, table.zeros.items]) - 9.5
        labels = np.repeat([1, 0], [len(table), len(table.zeros.users)])
        assert found["LogLoss"].value == pytest.approx(np.mean(np.log1p(np.exp(z)) - labels * z), abs=1e-6)
        assert {m.subject for m in found.values()} == {"link"}


def test_perturbed_pairs_are_left_out_or_count_with_their_new_label() -> None:
    """Three zeros become edges, two edges zeros; the model stays, so that all else keeps its verdict."""
    split = divided(some_rows())
    train = split.train
    rows = np.concatenate([train.zeros.users[:3], train.users[:2]])
    columns = np.concatenate([train.zeros.items[:3], train.items[:2]])
    flips = EdgeFlips(rows, columns, np.array([1, 1, 1, 0, 0]), eligible=10, n_new_users=0)
    clean = judged(split, train, edges="train")[1]
    evaluation, seen = judged(split, flips.apply(train), edges="train")
    assert seen.perturbed.sum() == 5
    assert (seen.labels == clean.labels).all(), "as before the attack"
    assert clean.perturbed.sum() == 0
    right = ((clean.logits > 0) == clean.labels) & ~seen.perturbed & ~clean.unseen
    others = (~seen.perturbed & ~seen.unseen).sum()
    accuracy = evaluation.measures(seen)[0]
    assert (accuracy.n, accuracy.value) == (others, pytest.approx(right.sum() / others))
    turned = sum(columns[:3] > 9) + sum(columns[3:] <= 9)
    both = replace(evaluation, perturbed="included").measures(seen)[0]
    assert (both.n, both.value) == (others + 5, pytest.approx((right.sum() + turned) / (others + 5)))
    assert evaluation.notes([clean, seen]) == ["5 training pairs that the attack flipped are not counted in its cells"]
    unseen = replace(evaluation, edges="unseen")
    assert [m.value for m in unseen.measures(seen)] == [m.value for m in unseen.measures(clean)]


def test_added_users_are_not_judged() -> None:
    split = divided(some_rows())
    flips = EdgeFlips(np.array([30, 31]), np.array([1, 2]), np.ones(2, dtype=int), eligible=40, n_new_users=2)
    clean, attacked = judged(split, split.train)[1], judged(split, flips.apply(split.train))[1]
    assert all(np.array_equal(clean.arrays()[name], attacked.arrays()[name]) for name in clean.arrays())


def test_another_choice_of_what_is_counted_looks_at_nothing_again() -> None:
    one = LinkPrediction()
    others = [replace(one, edges="train"), replace(one, perturbed="included"), replace(one, metrics=["AUROC"])]
    assert all(other.look_inputs == one.look_inputs for other in others)
    assert all(other.divide_inputs == one.divide_inputs for other in others)
    assert replace(one, zeros=7).divide_inputs != one.divide_inputs != replace(one, unseen=0.3).divide_inputs


def test_what_was_seen_is_read_back(tmp_path) -> None:
    split = divided(some_rows())
    evaluation, seen = judged(split, split.train)
    seen.save(tmp_path / "seen.npz")
    back = evaluation.read(tmp_path / "seen.npz").arrays()
    assert all(np.array_equal(back[name], array) for name, array in seen.arrays().items())


def test_a_diverged_model_is_one_sentence() -> None:
    split = divided(some_rows())
    params = {"user": torch.full((30, 1), math.inf), "item": torch.ones(20, 1), "bias": torch.zeros(1)}
    fitted = Fitted(CF(embedding_size=1, hidden=()), params, split.train)
    with pytest.raises(UserError, match="infinite or not a number, so its fit diverged"):
        LinkPrediction().look(fitted, split, np.zeros(0, dtype=int), Seeds(0), CPU, Progress())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zeros": 0}, r"evaluation\.zeros is 0: give 1 or more"),
        ({"unseen": 1.0}, r"evaluation\.unseen is 1: give 0 or more and less than 1"),
        ({"unseen": 0.0}, r"evaluation\.edges is unseen, but evaluation\.unseen=0 holds nothing out"),
        ({"edges": "test"}, r"evaluation\.edges is 'test': choose one of unseen, train"),
        ({"perturbed": "no"}, r"evaluation\.perturbed is 'no': choose one of excluded, included"),
        ({"select_on": "valid"}, r"evaluation\.select_on is 'valid', but a model takes a fixed number of .* steps"),
        ({"metrics": ["HR"]}, r"evaluation\.metrics has 'HR', which is no metric"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        LinkPrediction(**settings)


def test_too_few_pairs_to_hold_some_out() -> None:
    data = Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=2)
    with pytest.raises(ConfigError, match=r"evaluation\.unseen=0\.2 of 2 pairs leaves none held out"):
        divided(data)


def test_parts_that_do_not_fit_are_told_before_anything_is_read() -> None:
    evaluation = LinkPrediction()
    with pytest.raises(
        IncompatibleParts, match=r"and BPRMF does not learn that: choose model=cf, gmf, neumf or lightgcn"
    ):
        evaluation.check_parts(BPRMF(), NoAttack())
    with pytest.raises(IncompatibleParts, match=r"BIM shifts embeddings .*: choose attack=meta_attack or random_edges"):
        evaluation.check_parts(CF(), BIM())
    evaluation.check_parts(CF(), RandomAttack())


def test_perturbed_is_idle_where_nothing_perturbed_is_measured() -> None:
    data = Synthetic("s", n_users=20, n_items=15)
    on_train = Parts(data, CF(), evaluation=LinkPrediction(edges="train"))
    assert on_train.idle["evaluation.perturbed"] == "NoAttack flips no edges"
    unseen = Parts(data, CF(), evaluation=LinkPrediction())
    assert unseen.idle["evaluation.perturbed"] == "edges is unseen, and attacks flip training pairs alone"
