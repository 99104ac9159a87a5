"""PyTorch modules of one's own: the same numbers as ours where they say the same, and the whole command."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.models.bprmf import BPRMF
from recpoison.models.module import ModuleModel
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.train_attack_eval import main
from recpoison.training.module_objective import ModuleBatch
from recpoison.training.objectives import BPRObjective
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
SGD = Trainer(epochs=30, batch_size=64, optimizer="sgd", learning_rate=0.05)


class Tables(nn.Module):
    def __init__(self, n_users: int, n_items: int, size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(n_users, size), nn.Embedding(n_items, size)
        self.dropout = nn.Dropout(dropout)
        self.frozen = nn.Parameter(torch.rand(size), requires_grad=False)
        self.unused = nn.Linear(2, 2)

    def forward(self, users, items):
        return (self.dropout(self.user(users)) * self.item(items)).sum(1)


@dataclass(frozen=True)
class Mine(ModuleModel):
    tables: ClassVar[tuple[str, ...]] = ("user.weight", "item.weight")
    size: int = 8
    dropout: float = 0.0

    def build_module(self, data):
        return Tables(data.n_users, data.n_items, self.size, self.dropout)


@dataclass(frozen=True)
class OnPairs(Mine):
    form: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class OnRatings(Mine):
    form: ClassVar[str] = "ratings"


def test_bpr_of_two_tables_is_bprmf_to_rounding(planted):
    """The peer's gradients are by hand and its draws are the same, so the fits must be."""
    model, data = Mine(trainer=SGD), planted.train
    mine = model.fit(data, Seeds(3), CPU, Progress())
    start = model.init(data, Seeds(3))
    tables = {name: start[f"{name}.weight"] for name in ("user", "item")}
    ours = SGD.fit(BPRObjective(data, Seeds(3).child("train")), tables, Progress())
    for name, table in ours.items():
        torch.testing.assert_close(mine[f"{name}.weight"], table, atol=1e-4, rtol=1e-4)
        assert (table - tables[name]).abs().max() > 0.1, "it learned"
    users = torch.tensor([5, 0, 39])
    torch.testing.assert_close(model.scores(mine, data, users), BPRMF().scores(ours, data, users), atol=1e-3, rtol=1e-3)
    assert all(torch.equal(mine[name], start[name]) for name in ("frozen", "unused.weight", "unused.bias"))


def test_losses_by_hand(planted):
    """Scores 1 and -2: log(1 + e^-1) + log(1 + e^-2) of a pair and its negative; (1 - 3)² + (-2 + 1)² of ratings."""
    module = Tables(1, 2, 1)
    params = {"user.weight": torch.ones(1, 1), "item.weight": torch.tensor([[1.0], [-2.0]])}
    params = {name: tensor.requires_grad_() for name, tensor in params.items()}
    users, items = torch.tensor([0, 0]), torch.tensor([0, 1])
    for model, third, expected in (
        (OnPairs(), torch.tensor([1.0, 0.0]), np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))),
        (OnRatings(), torch.tensor([3.0, -1.0]), 5.0),
        (Mine(), torch.tensor([1, 0]), np.log1p(np.exp(-3)) + np.log1p(np.exp(3))),
    ):
        batch = ModuleBatch.of((users, items, third), module, None)
        assert model.loss(params, batch).item() == pytest.approx(expected)


def test_pairs_have_their_negatives_and_ratings_their_values(planted, tiny_explicit):
    (batch,) = OnPairs(negatives=2).objective(planted.train, Seeds(0), CPU).batches(Trainer(batch_size=4000), 0, CPU)
    users, items, labels = batch
    assert labels.tolist() == [1, 0, 0] * planted.train.n_pairs
    seen = planted.train.seen.toarray()[users.tolist(), items.tolist()]
    assert (seen == labels.numpy()).all()
    (batch,) = OnRatings().objective(tiny_explicit, Seeds(0), CPU).batches(Trainer(), 0, CPU)
    rows = sorted(zip(*(column.tolist() for column in batch), strict=True))
    data = tiny_explicit
    assert rows == sorted(zip(data.users.tolist(), data.items.tolist(), data.values.tolist(), strict=True))


def test_real_users_and_items_start_equal_with_fake_ones(planted):
    data = planted.train
    clean, poisoned = (
        Mine().init(d, Seeds(0))
        for d in (data, data.with_fake_users(np.array([0, 1]), np.array([40, 40]), np.ones(2), 2))
    )
    assert poisoned["user.weight"].shape == (42, 8)
    assert all(torch.equal(poisoned[name][: len(tensor)], tensor) for name, tensor in clean.items())
    assert clean["user.weight"].std() == pytest.approx(1, abs=0.1)
    assert clean["unused.weight"].abs().max() <= 0.5**0.5  # nn.Linear's own bound, 1/sqrt(2)
    assert not torch.equal(clean["user.weight"], Mine().init(data, Seeds(1))["user.weight"])


@pytest.mark.slow
def test_dropout_is_drawn_from_the_seed_alone_and_off_outside_training(planted):
    model, data = Mine(dropout=0.5, trainer=SGD), planted.train
    state = torch.get_rng_state()
    first = model.fit(data, Seeds(0), CPU, Progress())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again = model.fit(data, Seeds(0), CPU, Progress())
    assert all(torch.equal(first[name], again[name]) for name in first)
    plain = Mine(trainer=SGD)
    assert not torch.equal(first["item.weight"], plain.fit(data, Seeds(0), CPU, Progress())["item.weight"])
    users = torch.arange(40)
    assert torch.equal(model.scores(first, data, users), plain.scores(first, data, users))


class Wide(Tables):
    def forward(self, users, items):
        return self.user(users)


class Alone(Tables):
    def forward(self, users):
        return self.user(users)


class Normed(Tables):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm = nn.BatchNorm1d(8)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Wide, r"Wide.forward gave a tensor of shape \(512, 8\).*: a score for each of 512 pairs"),
        (Alone, "Alone.forward does not take users and items"),
        (Normed, "Normed with BatchNorm1d at 'norm', whose running statistics are no parameters: use LayerNorm"),
        (lambda *sizes: None, "Other.build_module gave None: a torch.nn.Module is expected"),
    ],
)
def test_a_wrong_module_is_told(module, said, planted):
    @dataclass(frozen=True)
    class Other(Mine):
        def build_module(self, data):
            return module(data.n_users, data.n_items, self.size)

    with pytest.raises((UserError, IncompatibleParts), match=said):
        Other().fit(planted.train, Seeds(0), CPU, Progress())


def test_a_wrong_loss_and_form_are_told(planted):
    @dataclass(frozen=True)
    class Mean(Mine):
        def batch_loss(self, score, batch):
            return score(batch[0], batch[1])

    with pytest.raises(UserError, match=r"Mean.batch_loss gave a tensor of shape \(512,\).*: a single number"):
        Mean().fit(planted.train, Seeds(0), CPU, Progress())

    @dataclass(frozen=True)
    class Quads(Mine):
        form: ClassVar[str] = "quads"

    with pytest.raises(ConfigError, match=r"Quads.form is 'quads': choose one of triples, pairs, ratings"):
        Quads()


@pytest.mark.slow
def test_a_package_from_scratch_is_fitted_attacked_and_defended(tmp_path, monkeypatch):
    """What CONTRIBUTING shows, as it stands there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    source = text.split("```python\n")[1].split("```")[0]
    assert len(source.splitlines()) <= 25
    Path("my_models").mkdir()
    Path("my_models/__init__.py").write_text(source)
    Path("my/model").mkdir(parents=True)
    Path("my/model/mine.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    command = text.split("    PYTHONPATH=. recpoison ")[1].splitlines()[0].split()
    small = ["evaluation.cutoffs=[5]", "hydra.run.dir=outputs/a", "attack.epsilon=3"]
    try:
        assert (
            main([*(word if not word.startswith("dataset=") else "dataset=planted" for word in command), *small]) == 0
        )
    finally:
        del sys.modules["my_models"]
    rows = pd.read_csv("outputs/a/metrics.csv", keep_default_na=False)
    auc = rows[(rows.metric == "AUC") & (rows.subject == "test")].set_index(["attack", "defense"])["value"]
    assert set(auc.index) == {(attack, defense) for attack in ("none", "fgsm") for defense in ("none", "apr")}
    assert auc["none", "none"] > 0.8
    assert auc["fgsm", "none"] < auc["none", "none"] - 0.05
    assert auc["fgsm", "apr"] > auc["fgsm", "none"]
