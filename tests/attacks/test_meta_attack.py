"""Which zeros the meta-attack flips: against retraining with each, against random ones, and how it goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from labelled_blocks import CPU, NO_TARGETS, odd_blocks, some_edges
from scipy.stats import spearmanr

from recpoison.attacks.edges.meta_attack import MetaAttack
from recpoison.attacks.edges.random_edges import RandomEdges
from recpoison.data.interactions import Interactions
from recpoison.data.synthetic import Synthetic
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import ConfigError, UserError
from recpoison.evaluation.judged_edges import measure
from recpoison.evaluation.link_prediction import LinkPrediction
from recpoison.models.bprmf import BPRMF
from recpoison.models.cf import CF
from recpoison.parts import Parts
from recpoison.progress import Loop, Progress
from recpoison.seeds import Seeds
from recpoison.training.edges.trainer import EdgeTrainer

BY_MOMENTUM = EdgeTrainer(steps=15, optimizer="momentum", learning_rate=2.0)
VICTIM = CF(embedding_size=3, hidden=(), edge_trainer=BY_MOMENTUM)
SMALL = MetaAttack(n_flips=7, edges_per_step=3, surrogate=CF(embedding_size=4, edge_trainer=EdgeTrainer(steps=5)))


def flipped(attack: MetaAttack, data: Interactions, seed: int = 0, progress: Progress | None = None) -> EdgeFlips:
    return attack.poison(data, NO_TARGETS, Seeds(seed), CPU, progress or Progress())


def pairs(flips: EdgeFlips) -> list[tuple[int, int]]:
    return list(zip(flips.rows.tolist(), flips.columns.tolist(), strict=True))


def fitted_to(data: Interactions, model: CF = VICTIM) -> tuple[np.ndarray, np.ndarray]:
    """Labels and log odds of ``data`` once the victim is trained on it."""
    edges = data.labelled()
    params = model.fitted(data, Seeds(0), CPU, Progress()).params
    logits = model.edge_logits(params, data, torch.from_numpy(edges.users), torch.from_numpy(edges.items))
    return edges.labels == 1, logits.detach().double().numpy()


def test_the_first_flips_are_those_that_hurt_most_when_tried_out() -> None:
    """Every one of the 73 zeros of two blocks is flipped, and the victim trained anew."""
    data = odd_blocks()
    one = np.ones(1, dtype=np.int64)
    tried = {
        pair: measure("LogLoss", *fitted_to(EdgeFlips(*np.array(pair)[:, None], one, 1).apply(data)))
        for pair in zip(*(ids.tolist() for ids in data.zeros), strict=True)
    }
    order = sorted(tried, key=tried.get, reverse=True)
    attack = MetaAttack(budget=1.0, edges_per_step=1000, initial_values="victim", surrogate=VICTIM)
    found = pairs(flipped(attack, data))
    assert found[0] == order[0]
    assert spearmanr([found.index(pair) for pair in order], range(73)).statistic > 0.98
    assert found[-1] == order[-1] == (0, 0), "in truth an edge of its block"
    assert tried[order[-1]] < measure("LogLoss", *fitted_to(data)) < tried[order[0]]


def test_flips_hurt_unseen_pairs_more_than_random_ones() -> None:
    evaluation = LinkPrediction()
    victim = CF(embedding_size=4, hidden=(), edge_trainer=EdgeTrainer(steps=20, learning_rate=0.05))
    found = []
    for seed in map(Seeds, (0, 1)):
        loaded = Synthetic("s", n_users=60, n_items=40, rank=3, threshold=1.0).load_whole(None, seed, Progress())
        split = evaluation.divide(loaded, seed)
        attacks = [RandomEdges(budget=0.3), MetaAttack(budget=0.3, edges_per_step=20, surrogate=victim)]
        changes = [attack.poison(split.train, NO_TARGETS, seed, CPU, Progress()) for attack in attacks]
        poisoned = [split.train, *(change.apply(split.train) for change in changes)]
        fits = [victim.fitted(data, seed, CPU, Progress()) for data in poisoned]
        seen = [evaluation.look(fit, split, NO_TARGETS, seed, CPU, Progress()) for fit in fits]
        found.append([[m.value for m in evaluation.measures(one)] for one in seen])
    (accuracy, accuracy_random, accuracy_meta), (auroc, auroc_random, auroc_meta) = np.mean(found, axis=0).T[:2]
    assert accuracy > 0.72
    assert accuracy - accuracy_random > 0.05
    assert accuracy_random - accuracy_meta > 0.02
    assert auroc_random - auroc_meta > 0.03 < auroc - auroc_random


def test_the_trace_is_how_the_victim_fits_the_labels_before_each_step() -> None:
    """With the victim's own initial values the surrogate is the victim, trained on the flips so far."""
    data = odd_blocks()
    attack = MetaAttack(n_flips=10, edges_per_step=4, initial_values="victim", surrogate=VICTIM)
    flips = flipped(attack, data)
    assert {name: len(figures) for name, figures in flips.trace.items()} == {"Accuracy": 3, "LogLoss": 3}
    for step, flipped_before in enumerate((0, 4, 8)):
        before = fitted_to(flips.first(flipped_before).apply(data))
        for name in flips.trace:
            assert flips.trace[name][step] == pytest.approx(measure(name, *before), rel=1e-4)


def test_own_initial_values_are_not_the_victims() -> None:
    own = MetaAttack(n_flips=3, edges_per_step=9, surrogate=VICTIM)
    first = [flipped(attack, odd_blocks()).trace["LogLoss"] for attack in (own, replace(own, initial_values="victim"))]
    assert first[0] != pytest.approx(first[1], rel=1e-4)


def test_redrawn_values_differ_from_step_to_step_and_fixed_ones_do_not() -> None:
    """Without a step of training the trace shows the initial values alone; one flip moves their loss little."""
    still = CF(embedding_size=4, hidden=(), edge_trainer=EdgeTrainer(steps=0))
    attack = MetaAttack(n_flips=3, edges_per_step=1, surrogate=still)
    fixed = flipped(attack, some_edges())
    redrawn = flipped(replace(attack, initialisation="redrawn"), some_edges())
    n = len(some_edges()) + len(some_edges().zeros.users)
    assert np.abs(np.diff(fixed.trace["Accuracy"])).max() <= 1 / n + 1e-12
    assert np.abs(np.diff(redrawn.trace["Accuracy"])).min() > 1 / n + 1e-12


@dataclass(frozen=True, kw_only=True)
class KnowsNothing(CF):
    """Starts with log odds of 0 everywhere."""

    def init(self, data, seeds):
        return {name: torch.zeros_like(tensor) for name, tensor in super().init(data, seeds).items()}


def test_equal_derivatives_are_taken_in_the_order_of_the_data() -> None:
    """Without training every derivative is 0."""
    data, nothing = some_edges(), KnowsNothing(embedding_size=1, hidden=(), edge_trainer=EdgeTrainer(steps=0))
    found = pairs(flipped(replace(SMALL, n_flips=5, edges_per_step=2, surrogate=nothing), data))
    assert found == list(zip(*(ids[:5].tolist() for ids in data.zeros), strict=True))


def test_an_approximate_step_takes_the_lowest_log_odds() -> None:
    """After no step but one look the sum is -logit / n: the zero that the surrogate is surest of comes first."""
    one = CF(embedding_size=4, hidden=(), edge_trainer=EdgeTrainer(steps=1))
    attack = MetaAttack(n_flips=6, edges_per_step=6, approximate=True, initial_values="victim", surrogate=one)
    data = some_edges()
    params = one.start(data, Seeds(0), CPU)
    logits = one.edge_logits(params, data, *map(torch.from_numpy, data.zeros)).detach().numpy()
    lowest = np.argsort(logits, kind="stable")[:6]
    assert pairs(flipped(attack, data)) == list(zip(*(ids[lowest].tolist() for ids in data.zeros), strict=True))


@pytest.mark.parametrize(
    "changed",
    [
        {"edges_per_step": 2},
        {"outer_labels": "fixed"},
        {"approximate": True},
        {"approximate": True, "approximate_sum": "after_steps"},
        {"approximate": True, "approximate_sum": "dependence"},
        {"initial_values": "victim"},
    ],
)
def test_every_choice_flips_within_the_budget_and_matters(changed) -> None:
    attack = replace(SMALL, n_flips=40, edges_per_step=20)
    data = some_edges()
    one, other = flipped(attack, data), flipped(replace(attack, **changed), data)
    assert len(set(pairs(other))) == 40
    assert pairs(one) != pairs(other)


def test_the_first_flips_of_a_plan_are_those_of_a_smaller_budget() -> None:
    planned = replace(SMALL, plan=20)
    whole = flipped(planned.planned, some_edges())
    assert len(whole) == 20
    assert pairs(planned.used(whole)) == pairs(flipped(SMALL, some_edges()))


class Killed(Exception):
    """The end of a process."""


class Keeps(Progress):
    """Keeps the state of the loop, and dies after some rounds."""

    def __init__(self, state=None, dies_after: int = 10**6) -> None:
        self.state, self.dies_after, self.steps = state, dies_after, []

    def step(self, done, total, **figures):
        self.steps.append((done, total))

    def loop(self, work, fits=None):
        kept = self

        class Kept(Loop):
            state = kept.state if kept.state is not None and fits(kept.state) else None

            def keep(self, state):
                kept.state = {name: tensor.clone() for name, tensor in state().items()}
                kept.dies_after -= 1
                if not kept.dies_after:
                    raise Killed

        return Kept()


def test_a_killed_attack_goes_on_with_its_next_step() -> None:
    alone = flipped(SMALL, some_edges())
    killed = Keeps(dies_after=2)
    with pytest.raises(Killed):
        flipped(SMALL, some_edges(), progress=killed)
    assert killed.steps == [(1, 3), (2, 3)]
    resumed = Keeps(killed.state)
    found = flipped(SMALL, some_edges(), progress=resumed)
    assert resumed.steps == [(3, 3)]
    assert pairs(found) == pairs(alone)
    assert all((found.trace[name] == alone.trace[name]).all() for name in alone.trace)


def test_a_state_of_another_length_is_not_gone_on_from() -> None:
    killed = Keeps(dies_after=2)
    with pytest.raises(Killed):
        flipped(SMALL, some_edges(), progress=killed)
    cut = Keeps(killed.state | {"places": killed.state["places"][:-1]})
    flipped(SMALL, some_edges(), progress=cut)
    assert cut.steps[0] == (1, 3)


def test_a_derivative_that_explodes_names_the_settings() -> None:
    wild = CF(embedding_size=4, hidden=(), edge_trainer=EdgeTrainer(steps=60, optimizer="sgd", learning_rate=1e6))
    with pytest.raises(UserError, match=r"lower attack\.surrogate\.edge_trainer\.learning_rate \(now 1e\+06\)"):
        flipped(replace(SMALL, surrogate=wild), some_edges())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edges_per_step": 0}, r"attack\.edges_per_step is 0: give 1 or more"),
        ({"memory_mb": 0}, r"attack\.memory_mb is 0: give 1 or more"),
        ({"initial_values": "mine"}, r"attack\.initial_values is 'mine': choose one of own, victim"),
        ({"initialisation": "warm"}, r"attack\.initialisation is 'warm': choose one of fixed, redrawn"),
        ({"outer_labels": "no"}, r"attack\.outer_labels is 'no': choose one of included, fixed"),
        ({"approximate_sum": "all"}, r"attack\.approximate_sum is 'all': choose one of before_steps, after_steps"),
        (
            {"initial_values": "victim", "initialisation": "redrawn"},
            r"attack\.initialisation=redrawn starts each step from other values than the victim's",
        ),
        (
            {"approximate": True, "outer_labels": "fixed"},
            r"attack\.outer_labels=fixed leaves nothing of the sum before_steps",
        ),
        ({"new_users": -1}, r"attack\.new_users is -1: give 0 or more"),
        ({"new_users": 2, "similar_users": 3}, r"attack\.new_users is 2 and attack\.similar_users is 3: set one to 0"),
        ({"sampled_share": 0.0}, r"attack\.sampled_share is 0: give more than 0 and at most 1"),
        ({"surrogate": BPRMF()}, r"attack\.surrogate is BPRMF, which does not learn edges: choose cf, gmf or neumf"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        MetaAttack(**settings)


def test_a_surrogate_that_is_never_asked_is_idle() -> None:
    data, evaluation = Synthetic("s", n_users=20, n_items=15), LinkPrediction()
    idle = [
        Parts(data, CF(), attack, evaluation=evaluation).idle
        for attack in (RandomEdges(), RandomEdges(similar_users=2, kmeans=True), MetaAttack())
    ]
    assert ["attack.surrogate" in one for one in idle] == [True, False, False]
    assert ["attack.sampled_share" in one for one in idle] == [True, True, True]
