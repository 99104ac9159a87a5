"""Curves of a run: each point is the number that a run made for it alone would give."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from recpoison.attacks.embeddings.bim import BIM
from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.changes import FakeProfiles
from recpoison.curves import Curve, of_trace, on_surrogate
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.defenses.apr import APR
from recpoison.defenses.none import NoDefense
from recpoison.errors import ConfigError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.base import Fitted, Monitor, Watch
from recpoison.models.bprmf import BPRMF
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.records import markdown, write
from recpoison.seeds import Seeds
from recpoison.stages.store import Store
from recpoison.stages.trial import Trial
from recpoison.stages.watching import looker
from recpoison.training.trainer import Trainer

LOOK = FullRanking(cutoffs=(5,), metrics=("NDCG", "Coverage"))
PARTS = Parts(
    Synthetic("s", n_users=40, n_items=30, rank=3, threshold=1.0, split=Splitter("leave_one_out_random")),
    BPRMF(embedding_size=4, trainer=Trainer(epochs=6, batch_size=64)),
    BIM(epsilon=1.0, steps=4, projection="box"),
    APR(epsilon=0.5, from_epoch=3),
    evaluation=LOOK,
)
EPOCHS = replace(PARTS, evaluation=replace(LOOK, curve_epochs=2))
STEPS = replace(PARTS, evaluation=replace(LOOK, curve_steps=1))


def value(frame: pd.DataFrame, **wanted) -> float:
    chosen = frame
    for name, wish in wanted.items():
        chosen = chosen[chosen[name] == wish]
    assert len(chosen) == 1, f"{len(chosen)} rows of {wanted}"
    return float(chosen.value.iloc[0])


@pytest.mark.parametrize("metric", ["NDCG", "Coverage"])
def test_a_point_over_epochs_is_the_number_of_a_shorter_fit(metric):
    curve = run(EPOCHS).curves()
    drawn = curve[(curve.along == "epochs") & (curve.metric == metric)]
    assert drawn[drawn.defense == "none"]["at"].tolist() == [2, 4, 6]
    assert drawn[drawn.defense == "APR"]["at"].tolist() == [2, 3, 4, 6], "the plain epochs too, and where they end"
    assert set(drawn.attack) == {"none"}
    assert drawn[["row_l2", "linf"]].isna().all().all()
    for epochs in (2, 4):
        shorter = replace(PARTS.model, trainer=replace(PARTS.model.trainer, epochs=epochs))
        metrics = run(replace(PARTS, model=shorter, defense=APR(from_epoch=min(3, epochs - 1), epsilon=0.5))).metrics()
        plain = value(metrics, attack="none", defense="none", metric=metric)
        assert value(drawn, defense="none", at=epochs) == plain
        assert value(drawn, defense="APR", at=2) == value(drawn, defense="none", at=2)
        if epochs == 4:
            assert value(drawn, defense="APR", at=4) == value(metrics, attack="none", defense="APR", metric=metric)


def test_watching_changes_no_number():
    seen, alone = run(EPOCHS).metrics(), run(PARTS).metrics()
    assert seen.equals(alone)
    chosen = replace(LOOK, select_on="test", select_metric="NDCG@5", select_every=1)
    both = replace(PARTS, evaluation=replace(chosen, curve_epochs=2))
    assert run(both).metrics().equals(run(replace(PARTS, evaluation=chosen)).metrics())


def test_evaluating_on_the_way_leaves_each_next_step_as_it_was():
    """A published program left the perturbation it had measured in place of the clean tables of the next epochs."""
    split = PARTS.dataset.load(None, Seeds(0), Progress())
    nothing, cpu = np.zeros(0, dtype=np.int64), torch.device("cpu")
    look = looker(Trial(PARTS, Seeds(0), split, nothing, cpu))

    def attacked(epoch, params):
        now = Fitted(PARTS.model, params, split.train)
        shift = PARTS.attack.perturb(now, nothing, Seeds(0), Progress())
        return [m.value for f in (now, replace(now, params=shift.apply(params))) for m in look(f)]

    for defense in (NoDefense(), PARTS.defense):
        watch = Watch(1, attacked)
        alone, watched = (
            defense.fit(PARTS.model, split.train, Seeds(0), cpu, Progress(), monitor).params
            for monitor in (None, Monitor(watch=watch))
        )
        assert list(watch.seen) == [1, 2, 3, 4, 5, 6]
        assert all(torch.equal(watched[name], alone[name]) for name in alone)


def test_a_point_over_steps_is_the_number_of_fewer_steps():
    record = run(STEPS)
    curve, metrics = record.curves(), record.metrics()
    for defense in ("none", "APR"):
        along = curve[(curve.along == "steps") & (curve.defense == defense) & (curve.metric == "NDCG")]
        assert along["at"].tolist() == [1, 2, 3, 4]
        ends = value(metrics, attack="BIM", defense=defense, metric="NDCG", subject="test")
        assert value(along, at=4) == ends
        mean = value(metrics, attack="BIM", defense=defense, metric="NDCG", subject="path")
        assert mean == pytest.approx(along.value.mean(), abs=1e-12)
        fewer = run(replace(PARTS, attack=replace(PARTS.attack, steps=2))).metrics()
        assert value(along, at=2) == value(fewer, attack="BIM", defense=defense, metric="NDCG")
        np.testing.assert_allclose(along.row_l2, [0.25, 0.5, 0.75, 1.0], rtol=0.05)


def test_a_point_over_epsilon_is_the_number_of_that_epsilon():
    drawn = replace(LOOK, curve_epsilons=(0.0, 0.5, 2.0), curve_steps=1)
    for attack in (FGSM(), PARTS.attack):
        curve = run(replace(PARTS, attack=attack, defense=APR(weight=0.0), evaluation=drawn)).curves()
        along = curve[(curve.along == "epsilon") & (curve.defense == "none") & (curve.metric == "NDCG")]
        for epsilon in (0.0, 0.5, 2.0):
            metrics = run(replace(PARTS, attack=replace(attack, epsilon=epsilon))).metrics()
            name = type(attack).__name__
            assert value(along, at=epsilon) == value(metrics, attack=name, defense="none", metric="NDCG")
        assert (curve.along == "steps").any() == attack.takes_steps, "FGSM takes no steps, and that is no error"


def test_a_curve_is_stored_with_its_fit_and_its_attack_and_written(tmp_path):
    parts = replace(PARTS, evaluation=replace(LOOK, curve_epochs=3, curve_steps=2, curve_epsilons=(0.5,)))
    first = run(parts, store=Store(tmp_path / "store"))
    again = run(parts, store=Store(tmp_path / "store"))
    assert {cost.stage for cost in first.costs if not cost.reused} == {"split", "fit", "curve", "shift", "ranks"}
    assert all(cost.reused for cost in again.costs)
    assert again.curves().equals(first.curves())
    write(first, tmp_path / "run", "x: 1\n", [])
    read = pd.read_csv(tmp_path / "run" / "curve.csv")
    assert set(read.along) == {"epochs", "steps", "epsilon"}
    np.testing.assert_allclose(read.value, first.curves().value)
    write(run(PARTS), tmp_path / "without", "x: 1\n", [])
    assert not (tmp_path / "without" / "curve.csv").exists()


def test_what_is_made_of_a_fit_is_the_same_with_its_curve_and_without(tmp_path):
    """The fit is done again for its curve; the shift and the ranks of its numbers are found."""
    store = Store(tmp_path / "store")
    run(EPOCHS, store=store)
    assert {cost.stage for cost in run(PARTS, store=store).costs if not cost.reused} == {"fit"}
    assert all(cost.reused for cost in run(EPOCHS, store=store).costs)
    other = replace(EPOCHS, evaluation=replace(EPOCHS.evaluation, curve_epochs=3))
    assert {cost.stage for cost in run(other, store=store).costs if not cost.reused} == {"fit"}


def test_another_curve_of_an_attack_computes_the_curve_alone(tmp_path):
    store = Store(tmp_path / "store")
    run(STEPS, store=store)
    for drawn in ({"curve_steps": 2}, {"curve_steps": 1, "curve_epsilons": (0.5,)}, {"metrics": ("HR",)}):
        parts = replace(PARTS, evaluation=replace(STEPS.evaluation, **drawn))
        assert {cost.stage for cost in run(parts, store=store).costs if not cost.reused} == {"curve"}, drawn


def test_the_mean_over_steps_compares_with_the_clean_test_number():
    record = run(STEPS)
    summary, metrics = record.summary(), record.metrics()
    row = summary[(summary.subject == "path") & (summary.metric == "NDCG") & (summary.defense == "APR")].iloc[0]
    clean = value(metrics, attack="none", defense="APR", metric="NDCG")
    assert row.difference == pytest.approx(row["mean"] - clean, abs=1e-12)
    assert "path: held-out items, mean over the steps of the attack" in markdown(record)
    assert "surrogate:" not in markdown(record)


def test_a_killed_fit_keeps_the_points_it_had(tmp_path):
    """The state of a fit holds them: going on from epoch 3 gives the curve of a fit that was never stopped."""
    model, data = PARTS.model, PARTS.dataset.load(None, Seeds(0), Progress()).train

    def watch() -> Watch:
        return Watch(1, lambda epoch, params: [epoch, float(params["user"].sum())])

    whole, half, rest = watch(), watch(), watch()
    objective = model.objective(data, Seeds(0), torch.device("cpu"))
    start = model.trainer.start(model.init(data, Seeds(0)))
    model.trainer.run(objective, start, Progress(), Monitor(watch=whole))
    state = replace(model.trainer, epochs=3).run(objective, start, Progress(), Monitor(watch=half))
    model.trainer.run(objective, state, Progress(), Monitor(watch=rest))
    assert list(whole.seen) == [1, 2, 3, 4, 5, 6]
    assert rest.seen == whole.seen
    assert half.seen == {epoch: whole.seen[epoch] for epoch in (1, 2, 3)}


def test_a_learned_attack_shows_its_iterations():
    nothing = np.zeros(0, dtype=np.int64)
    trace = {"HR": np.array([0.1, 0.4]), "Objective": np.array([9.0, 7.0])}
    change = FakeProfiles(nothing, nothing, np.zeros(0), 0, nothing, trace, cutoff=10, best=1)
    found = [(m.subject, m.metric, m.k, m.value, m.n) for m in on_surrogate(change, 900)]
    assert found == [("surrogate", "HR", 10, 0.4, 900), ("surrogate", "Objective", None, 7.0, 900)]
    assert on_surrogate(FakeProfiles.none(nothing), 900) == []
    rows = of_trace(change).rows
    assert [(row[0], row[1], *row[4:8]) for row in rows] == [
        ("iterations", 0.0, "surrogate", "HR", 10, 0.1),
        ("iterations", 1.0, "surrogate", "HR", 10, 0.4),
        ("iterations", 0.0, "surrogate", "Objective", None, 9.0),
        ("iterations", 1.0, "surrogate", "Objective", None, 7.0),
    ]


def test_a_curve_comes_back_from_its_file(tmp_path):
    curve = run(replace(STEPS, defense=APR(weight=0.0))).results[1].curve
    curve.save(tmp_path / "curve.npz")
    assert Curve.load(tmp_path / "curve.npz").rows == curve.rows
    Curve().save(tmp_path / "none.npz")
    assert Curve.load(tmp_path / "none.npz").rows == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"curve_epochs": 0}, "evaluation.curve_epochs is 0"),
        ({"curve_steps": -1}, "evaluation.curve_steps is -1"),
        ({"curve_epsilons": (0.5, -1.0)}, "evaluation.curve_epsilons"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ConfigError, match=words):
        FullRanking(**settings)
