"""What every model of conf/model must do, whatever its method."""

import importlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from recpoison.data.interactions import Interactions, Scale
from recpoison.data.splitting import Split
from recpoison.models.base import GradientModel, Model, Monitor, Params, load_params, save_params
from recpoison.progress import Progress
from recpoison.seeds import Seeds

ON_GRAPHS = {"gcn"}  # models of nodes have tests of their own: nothing here gives them a graph
FILES = [
    file for file in sorted((Path(__file__).parents[2] / "conf" / "model").glob("*.yaml")) if file.stem not in ON_GRAPHS
]
CPU, QUIET = torch.device("cpu"), Progress()
UNPERSONAL = {"popularity", "random"}
FROM_RATINGS = {"mf", "pcmf"}  # an unseen pair is no evidence to them, so the planted data need dislikes


def test_the_group_is_not_empty():
    assert {"bprmf", "wrmf_als", "item_knn", *UNPERSONAL} <= {file.stem for file in FILES}


def test_models_of_graphs_are_those_that_say_so():
    files = (Path(__file__).parents[2] / "conf" / "model").glob("*.yaml")
    assert {file.stem for file in files if build(yaml.safe_load(file.read_text())).works_on == "graph"} == ON_GRAPHS


def build(node):
    """The part a YAML node describes, without Hydra."""
    if isinstance(node, list):
        return tuple(map(build, node))
    if not isinstance(node, dict):
        return node
    arguments = {key: build(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    module, name = node["_target_"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**arguments)


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request) -> Path:
    return request.param


@pytest.fixture
def model(file) -> Model:
    """As in the YAML, but with embeddings of 4 numbers: the planted data have 40 users and rank 2."""
    part = build(yaml.safe_load(file.read_text()))
    return replace(part, embedding_size=4) if hasattr(part, "embedding_size") else part


def fit(model: Model, data: Interactions, seed: int = 0) -> Params:
    return model.fit(data, Seeds(seed), CPU, QUIET)


def with_dislikes(split: Split) -> Split:
    """Rows of the planted data rated 5, and half of each user's items of the other block rated 1."""
    liked, n = split.train, split.train.n_users
    users, items = np.nonzero((np.arange(n)[:, None] + np.arange(n)) % 4 == 1)
    values = np.repeat([5.0, 1.0], [len(liked), len(users)])
    users, items = np.concatenate([liked.users, users]), np.concatenate([liked.items, items])
    return Split(Interactions(users, items, values, n, liked.n_items, Scale(1, 5, 1)), split.test)


def held_out_ranks(model: Model, split) -> np.ndarray:
    """For each user the number of unseen items scored at or above the held-out one, itself left out."""
    scores = model.scores(fit(model, split.train), split.train, torch.arange(split.train.n_users)).numpy().copy()
    scores[split.train.users, split.train.items] = -np.inf
    positive = scores[split.test.users, split.test.items][:, None]
    return (scores >= positive).sum(1) - 1


def test_every_field_is_in_the_yaml_and_the_stems_agree(file, model):
    node = yaml.safe_load(file.read_text())
    assert set(node) - {"_target_"} == {field.name for field in fields(model)}
    assert type(model).__module__.endswith(file.stem)
    assert file.read_text().startswith("# ")


def test_the_planted_answer_is_found(file, model, planted):
    ranks = held_out_ranks(model, with_dislikes(planted) if file.stem in FROM_RATINGS else planted)
    if file.stem in UNPERSONAL:
        assert ranks.mean() > 3, "no model that knows nobody can find the answer"
    else:
        assert (ranks == 0).all()


def test_scores_are_finite_and_of_the_right_shape(model, planted):
    params, users = fit(model, planted.train), torch.tensor([5, 0, 39])
    scores = model.scores(params, planted.train, users)
    assert scores.shape == (3, planted.train.n_items)
    assert scores.isfinite().all()
    assert scores.is_floating_point()


def test_a_users_scores_do_not_depend_on_the_others_asked_for(model, planted):
    params = fit(model, planted.train)
    together = model.scores(params, planted.train, torch.arange(40))
    for users in (torch.tensor([7]), torch.tensor([9, 7, 7])):
        torch.testing.assert_close(model.scores(params, planted.train, users), together[users], atol=1e-6, rtol=1e-5)


def test_the_same_seed_gives_the_same_numbers(model, planted):
    first, again = fit(model, planted.train, 3), fit(model, planted.train, 3)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_order_of_rows_does_not_matter(model, planted):
    shuffled = planted.train.take(np.random.default_rng(0).permutation(len(planted.train)))
    first, other = fit(model, planted.train), fit(model, shuffled)
    assert all(torch.equal(first[name], other[name]) for name in first)


def test_fitting_changes_neither_data_nor_model(model, planted):
    before = planted.train.fingerprint, repr(model), hash(model)
    fit(model, planted.train)
    assert before == (planted.train.fingerprint, repr(model), hash(model))


def test_fake_users_just_work_and_real_ones_start_as_before(model, planted):
    data = planted.train
    poisoned = data.with_fake_users(np.array([0, 0, 1]), np.array([40, 0, 40]), np.ones(3), 2)
    users = torch.arange(poisoned.n_users)
    assert model.scores(fit(model, poisoned), poisoned, users).shape == (42, data.n_items)
    if isinstance(model, GradientModel):
        clean, changed = model.init(data, Seeds(0)), model.init(poisoned, Seeds(0))
        for name, tensor in clean.items():
            assert torch.equal(changed[name][: len(tensor)], tensor)


def test_users_and_items_without_rows_are_scored(model):
    data = Interactions(np.array([0, 0, 1]), np.array([0, 2, 2]), np.ones(3), 4, 5)
    scores = model.scores(fit(model, data), data, torch.arange(4))
    assert scores.shape == (4, 5)
    assert scores.isfinite().all()


def test_params_survive_the_disk(model, planted, tmp_path):
    params = fit(model, planted.train)
    save_params(params, tmp_path / "params.safetensors")
    loaded = load_params(tmp_path / "params.safetensors", CPU)
    assert params.keys() == loaded.keys()
    assert all(torch.equal(params[name], loaded[name]) for name in params)


def test_ratings_count_only_for_a_model_that_says_so(model, planted):
    """Other ratings of the same pairs leave the numbers of a model that does not look at them."""
    short = replace(model, trainer=replace(model.trainer, epochs=2)) if hasattr(model, "trainer") else model
    rated = replace(planted.train, scale=Scale(1, 5, 1), values=1.0 + np.arange(len(planted.train)) % 5)
    first, other = (fit(short, replace(rated, values=values)) for values in (rated.values, 6 - rated.values))
    assert model.reads_values != all(torch.equal(first[name], other[name]) for name in first)


def test_a_model_with_epochs_asks_the_monitor(model, planted):
    short = replace(model, trainer=replace(model.trainer, epochs=2)) if hasattr(model, "trainer") else model
    asked: list[int] = []
    monitor = Monitor(1, lambda epoch, params: asked.append(epoch) or 0.0)
    short.fit(planted.train, Seeds(0), CPU, QUIET, monitor)
    assert asked == ([1, 2] if model.has_epochs else [])
