"""Whom it weighs down, by which labels, and that the weights are those of the fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.data.synthetic import Planted
from recpoison.defenses.labels import Labels
from recpoison.defenses.reliability import Reliability
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.bprmf import BPRMF
from recpoison.models.item_knn import ItemKNN
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.stages.store import Store
from recpoison.training.trainer import Trainer
from recpoison.training.weighted import weighted

CPU, N_REAL, N_FAKES = torch.device("cpu"), 40, 8
FORESTS = {
    source: Reliability(labels=Labels(source, simulated=0.2, known=0.5), neighbours=3)
    for source in ("simulated", "known", "truth")
}


@pytest.fixture
def poisoned(planted, seeds):
    attack = RandomAttack(targets=Targets("list", [40]), n_fake_users=N_FAKES)
    return attack.poison(planted.train, np.array([40]), seeds, CPU, Progress()).apply(planted.train)


@pytest.mark.parametrize("source", FORESTS)
def test_users_who_like_anything_weigh_less_than_those_with_a_taste(poisoned, source):
    """By every label. Simulated profiles are unlike these: the forest is the least sure."""
    weights = FORESTS[source].weights(poisoned, N_REAL)
    assert weights.shape == (N_REAL + N_FAKES,)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights[:N_REAL].mean() > 0.95
    assert weights[N_REAL:].mean() < {"simulated": 0.75, "known": 0.3, "truth": 0.05}[source]


@pytest.mark.parametrize("source", FORESTS)
def test_numbering_of_users_tells_nothing(source):
    """But for those whom an oracle is told of, who stay the last."""
    rows = np.argwhere(np.random.default_rng(2).random((60, 50)) < 0.2)
    data = Interactions(rows[:, 0], rows[:, 1], np.ones(len(rows)), 60, 50)
    order = np.concatenate([np.random.default_rng(0).permutation(50), np.arange(50, 60)])
    renumbered = replace(data, users=order[data.users])
    weights = [FORESTS[source].weights(each, 50) for each in (renumbered, data)]
    np.testing.assert_array_equal(weights[0][order], weights[1])


@pytest.mark.parametrize("model", [BPRMF(4), MF(4), LightGCN(4, 2)], ids=lambda model: type(model).__name__)
def test_the_fit_has_those_weights(model, poisoned, planted, seeds):
    model = replace(model, trainer=replace(model.trainer, epochs=3, batch_size=64))
    defense = FORESTS["truth"]
    fitted = defense.fit(model, poisoned, seeds, CPU, Progress(), None, planted.train)
    objective = weighted(model.objective(poisoned, seeds, CPU), defense.weights(poisoned, N_REAL))
    expected = model.trainer.fit(objective, model.start(poisoned, seeds, CPU), Progress())
    plain = model.fit(poisoned, seeds, CPU, Progress())
    assert torch.equal(fitted.params["item"], expected["item"])
    assert not torch.allclose(fitted.params["item"], plain["item"])


def test_what_fake_users_do_to_the_score_of_their_target_is_undone(poisoned, planted, seeds):
    """They alone have it; with their weights it is learned from what it is not, as without them."""
    model, real = BPRMF(8, trainer=Trainer(200, 64)), torch.arange(N_REAL)
    clean, plain = (model.fitted(data, seeds, CPU, Progress()) for data in (planted.train, poisoned))
    defended = FORESTS["truth"].fit(model, poisoned, seeds, CPU, Progress(), None, planted.train)
    before, attacked, after = (float(fit.scores(real)[:, N_REAL].mean()) for fit in (clean, plain, defended))
    assert abs(attacked - before) > 0.1
    assert abs(after - before) < 0.01


def test_where_nobody_is_fake_an_oracle_is_the_plain_fit(planted, seeds):
    model = BPRMF(4, trainer=Trainer(3, 64))
    fitted = FORESTS["truth"].fit(model, planted.train, seeds, CPU, Progress(), None, planted.train)
    assert torch.equal(fitted.params["item"], model.fit(planted.train, seeds, CPU, Progress())["item"])


def test_who_is_told_and_what_it_refuses(poisoned, seeds):
    assert {source: forest.told for source, forest in FORESTS.items()} == {
        "simulated": False,
        "known": True,
        "truth": True,
    }
    with pytest.raises(ConfigError, match="nobody has said"):
        FORESTS["truth"].fit(BPRMF(4), poisoned, seeds, CPU, Progress())
    with pytest.raises(IncompatibleParts, match="ItemKNN has no such loss: choose model=bprmf, mf or lightgcn"):
        FORESTS["simulated"].check_model(ItemKNN())
    for name in ("trees", "neighbours"):
        with pytest.raises(ConfigError, match=f"defense.{name} is 0"):
            Reliability(**{name: 0})


def test_a_run_tells_what_weight_users_keep_and_how_well_it_tells_them_apart(tmp_path):
    """The same where the fit comes from the store. Of 40 real users and 8 fake ones; scikit-learn has the AUROC."""
    attack = RandomAttack(targets=Targets("list", [40]), n_fake_users=N_FAKES)
    defense, model = FORESTS["simulated"], BPRMF(4, trainer=Trainer(2, 64))
    parts = Parts(Planted("planted", N_REAL), model, attack, defense, evaluation=FullRanking(cutoffs=[5]))
    first, again = (run(parts, [3], store=Store(tmp_path)) for _ in range(2))
    assert all(cost.reused for cost in again.costs)
    assert again.metrics().equals(first.metrics())
    rows = first.metrics().query("subject == 'weighed'").set_index(["attack", "metric"])
    train = parts.dataset.load(None, Seeds(3), Progress()).train
    weights = defense.weights(first.results[1].change.apply(train))
    found = rows.loc["RandomAttack"]
    assert found.value["RealUsersWeight"] == pytest.approx(weights[:N_REAL].mean())
    assert found.value["FakeUsersWeight"] == pytest.approx(weights[N_REAL:].mean())
    assert found.value["AUROC"] == pytest.approx(roc_auc_score(np.arange(N_REAL + N_FAKES) >= N_REAL, -weights))
    assert found.n.to_dict() == {"RealUsersWeight": N_REAL, "FakeUsersWeight": N_FAKES, "AUROC": N_FAKES}
    assert rows.loc["none"].value.to_dict() == {"RealUsersWeight": pytest.approx(defense.weights(train).mean())}
    told = next(text for text in first.story() if "weighed users" in text and "without an attack" not in text.lower())
    assert f"fake users weigh {weights[N_REAL:].mean():.4f} on average" in told.lower()
