"""What every evaluation of conf/evaluation must keep; the ranking ones also by planted answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from given_scores import CPU, GivenScores, given, look, numbers
from hydra.utils import instantiate
from omegaconf import OmegaConf

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.errors import ConfigError, UserError
from recpoison.evaluation.base import Evaluation
from recpoison.evaluation.ranking import RankingEvaluation
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.seeds import Seeds

FILES = sorted((Path(__file__).parents[2] / "conf" / "evaluation").glob("*.yaml"))


def build(file: Path) -> Evaluation:
    return instantiate(OmegaConf.load(file), _convert_="all")


EVALUATIONS = [pytest.param(build(file), id=file.stem) for file in FILES]
RANKINGS = [param for param in EVALUATIONS if isinstance(param.values[0], RankingEvaluation)]

N_USERS, N_ITEMS, TARGET = 333, 640, 639  # 1 MiB holds the scores of half the users


@pytest.fixture(scope="module")
def split() -> Split:
    """333 users, each with 20 of 639 items in training and one held out; a third of the users own the target 639."""
    rng = np.random.default_rng(0)
    drawn = np.array([rng.choice(TARGET, 21, replace=False) for _ in range(N_USERS)])
    owners = np.arange(0, N_USERS, 3)
    users = np.concatenate([np.repeat(np.arange(N_USERS), 20), owners])
    items = np.concatenate([drawn[:, :20].ravel(), np.full(len(owners), TARGET)])
    test = Interactions(np.arange(N_USERS), drawn[:, 20], np.ones(N_USERS), N_USERS, N_ITEMS)
    return Split(Interactions(users, items, np.ones(len(users)), N_USERS, N_ITEMS), test)


def random_scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_USERS, N_ITEMS)).astype(np.float32)


def perfect_scores(split: Split) -> np.ndarray:
    scores = random_scores()
    scores[split.test.users, split.test.items] = 100
    return scores


def test_the_group_is_not_empty():
    assert {"full_ranking", "sampled"} <= {file.stem for file in FILES}
    assert len(RANKINGS) >= 2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_file_says_what_it_is(file):
    first, second = file.read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert second.startswith("_target_: ")
    assert second.split(".")[-2] == file.stem


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_the_protocol_is_told_in_words(evaluation):
    assert evaluation.protocol
    assert all(isinstance(fact, str) and fact for fact in evaluation.protocol.values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_file_holds_every_setting_and_its_default(file):
    values = dict(OmegaConf.to_container(OmegaConf.load(file)))
    del values["_target_"]
    defaults = vars(type(build(file))())
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in defaults.items()} == values


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_a_perfect_scorer(evaluation, split):
    found = numbers(evaluation.measures(look(evaluation, perfect_scores(split), split)))
    assert {value for (subject, *_), value in found.items() if subject == "test"} == {1.0}
    assert evaluation.score(given(perfect_scores(split), split), split, Seeds(0)) == 1


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_a_reversed_scorer(evaluation, split):
    found = numbers(evaluation.measures(look(evaluation, -perfect_scores(split), split)))
    assert {value for (subject, *_), value in found.items() if subject == "test"} == {0.0}
    assert evaluation.score(given(-perfect_scores(split), split), split, Seeds(0)) == 0


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_a_random_scorer_hits_by_chance(evaluation, split):
    """HR@k is k / n within five binomial standard deviations; the area is a half within five of a uniform mean."""
    seen = look(evaluation, random_scores(), split)
    found = numbers(evaluation.measures(seen))
    for k in evaluation.cutoffs:
        chance = np.mean(k / seen.test.candidates)
        assert abs(found["test", "HR", k] - chance) < 5 * np.sqrt(chance * (1 - chance) / N_USERS)
    assert abs(found["test", "AUC", None] - 0.5) < 5 / np.sqrt(12 * N_USERS)


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_ties_for_and_against(evaluation, split):
    """A scorer that knows nothing is perfect or useless, by the setting alone."""
    seen = look(evaluation, np.zeros((N_USERS, N_ITEMS)), split)
    for ties, value in (("for", 1), ("against", 0)):
        found = numbers(replace(evaluation, ties=ties).measures(seen))
        assert found["test", "HR", 10] == found["test", "AUC", None] == value
    half = numbers(replace(evaluation, ties="half").measures(seen))
    assert half["test", "HR", 10] == pytest.approx(np.mean(10 / seen.test.candidates))
    assert half["test", "AUC", None] == 0.5


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_a_note_says_where_ties_decide(evaluation, split):
    """All ranks are tied where nothing is known, none where scores differ; 7 of 333 users make 2.1%, 6 make none."""
    nothing, something = np.zeros((N_USERS, N_ITEMS)), random_scores()
    assert evaluation.notes([look(evaluation, something, split)]) == []
    told = evaluation.notes([look(evaluation, scores, split, [TARGET]) for scores in (something, nothing)])
    assert len(told) == 1
    assert told[0].startswith("ties decide 100% of the held-out items' ranks and 100% of the targets' ranks (")
    for users, expected in ((6, []), (7, ["ties decide 2% of the held-out items' ranks"])):
        few = np.concatenate([nothing[:users], something[users:]])
        assert [note.partition(" (")[0] for note in evaluation.notes([look(evaluation, few, split)])] == expected


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_an_epoch_is_chosen_by_the_same_ties(evaluation, split):
    for ties, value in (("for", 1), ("half", 0.5), ("against", 0)):
        chosen = replace(evaluation, ties=ties, select_metric="AUC")
        assert chosen.score(given(np.zeros((N_USERS, N_ITEMS)), split), split, Seeds(0)) == value


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_memory_does_not_change_ranks(evaluation, split):
    generator = torch.Generator().manual_seed(0)
    factors = [torch.randn(n, 32, generator=generator) for n in (N_USERS, N_ITEMS)]

    class Product(GivenScores):
        def scores(self, params, data, users):
            return factors[0][users] @ factors[1].T

    found = []
    for memory_mb in (1, 100):
        chosen = replace(evaluation, memory_mb=memory_mb)
        fitted = Fitted(Product(), {}, split.train)
        found.append(chosen.look(fitted, split, np.array([TARGET]), Seeds(0), CPU, Progress()).arrays())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_fake_users_are_not_counted(evaluation, split):
    """The same scores for real users give the same ranks, whatever 17 fake ones own."""
    scores = random_scores()
    profile = np.repeat(np.arange(17), 2)
    poisoned = split.train.with_fake_users(profile, np.tile([3, TARGET], 17), np.ones(34), 17)
    table = torch.from_numpy(np.concatenate([scores, np.full((17, N_ITEMS), np.nan, dtype=np.float32)]))
    fitted = Fitted(GivenScores(), {"table": table}, poisoned)
    attacked = evaluation.look(fitted, split, np.array([TARGET]), Seeds(0), CPU, Progress()).arrays()
    clean = look(evaluation, scores, split, [TARGET]).arrays()
    assert all(np.array_equal(attacked[name], clean[name]) for name in clean)
    assert evaluation.score(fitted, split, Seeds(0)) == evaluation.score(given(scores, split), split, Seeds(0))


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_owners_of_a_target(evaluation, split):
    """The target is on top for everybody; a third of the users own it."""
    scores = random_scores()
    scores[:, TARGET] = 100
    expected = {"missing": (2 / 3, N_USERS), "excluded": (1, N_USERS * 2 // 3), "included": (1, N_USERS)}
    for owners, (value, n) in expected.items():
        chosen = replace(evaluation, owners=owners)
        found = {
            (m.metric, m.k): m for m in chosen.measures(look(chosen, scores, split, [TARGET])) if m.subject == "target"
        }
        assert (found["HR", 10].value, found["HR", 10].n) == (pytest.approx(value), n)
        assert found["MeanRank", None].value == 1


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_a_target_that_rises_shifts(evaluation, split):
    before, after = random_scores(), random_scores()
    after[:, TARGET] = 100
    cells = [look(evaluation, scores, split, [TARGET]) for scores in (before, after)]
    clean, attacked = (numbers(evaluation.measures(cell, cells[0])) for cell in cells)
    assert clean["target", "RankShift", None] == 0
    assert attacked["target", "RankShift", None] == pytest.approx(clean["target", "MeanRank", None] - 1)


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_what_is_read_back_gives_the_same_numbers(evaluation, split, tmp_path):
    seen = look(evaluation, random_scores(), split, [TARGET])
    seen.save(tmp_path / "seen.npz")
    back = evaluation.read(tmp_path / "seen.npz")
    assert numbers(evaluation.measures(back, back)) == numbers(evaluation.measures(seen, seen))


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_cutoffs_beyond_the_catalogue_are_refused(evaluation):
    one = np.zeros(1, dtype=np.int64)
    tiny = Split(Interactions(one, one, one, 1, 5), Interactions(one, one + 1, one, 1, 5))
    for refused in (lambda: evaluation.check_split(tiny), lambda: look(evaluation, np.zeros((1, 5)), tiny)):
        with pytest.raises(ConfigError, match=r"evaluation\.cutoffs has 50, but the catalogue has 5 items"):
            refused()


@pytest.mark.parametrize("evaluation", RANKINGS)
def test_a_diverged_model_is_one_sentence(evaluation, split):
    scores = random_scores()
    scores[7, 7] = np.nan
    with pytest.raises(UserError, match="infinite or not a number"):
        look(evaluation, scores, split)
