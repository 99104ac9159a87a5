"""GCN: its formula, dropout, and what it learns from edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.errors import ConfigError, UserError
from recpoison.models.gcn import GCN
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from tests.small_graph import two_blocks

CPU = torch.device("cpu")


def test_logits_are_the_formula() -> None:
    graph, model = two_blocks(), GCN(hidden=3, steps=2)
    params = model.fit(graph, Seeds(0), CPU, Progress())
    looped = graph.adjacency.toarray() + np.eye(graph.n_nodes)
    spread = looped / np.sqrt(np.outer(looped.sum(1), looped.sum(1)))
    weight = {name: tensor.double().numpy() for name, tensor in params.items()}
    hidden = np.maximum(spread @ graph.features.toarray() @ weight["weight_0"] + weight["bias_0"], 0)
    expected = spread @ hidden @ weight["weight_1"] + weight["bias_1"]
    nodes = torch.tensor([5, 0, 17])
    found = model.scores(params, graph, nodes).double().numpy()
    np.testing.assert_allclose(found, expected[nodes.numpy()], rtol=1e-4, atol=1e-6)


def test_it_finds_two_blocks_from_four_labels() -> None:
    graph = two_blocks()
    params = GCN().fit(graph, Seeds(0), CPU, Progress())
    found = GCN().scores(params, graph, torch.arange(graph.n_nodes)).argmax(1).numpy()
    assert (found == graph.labels).mean() > 0.9


def test_classes_of_other_nodes_are_not_looked_at() -> None:
    graph = two_blocks()
    hidden = replace(graph, labels=np.where(np.arange(graph.n_nodes) < 4, graph.labels, 1 - graph.labels))
    model = GCN(steps=5)
    one, other = (model.fit(data, Seeds(0), CPU, Progress()) for data in (graph, hidden))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "change", [{"hidden": 5}, {"dropout": 0.0}, {"steps": 7}, {"learning_rate": 0.1}, {"weight_decay": 0.5}]
)
def test_every_setting_counts_and_the_same_seed_gives_the_same(change: dict[str, float]) -> None:
    graph, nodes = two_blocks(), torch.arange(9)
    models = [GCN(steps=5), GCN(steps=5), replace(GCN(steps=5), **change)]
    scores = [model.scores(model.fit(graph, Seeds(0), CPU, Progress()), graph, nodes) for model in models]
    assert torch.equal(scores[0], scores[1])
    assert not torch.allclose(scores[0], scores[2])


@pytest.mark.parametrize(
    "settings", [{"hidden": 0}, {"steps": 0}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}]
)
def test_values_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"model.{next(iter(settings))} is"):
        GCN(**settings)


def test_a_graph_without_labelled_nodes_is_refused() -> None:
    with pytest.raises(UserError, match="no labelled nodes"):
        GCN().fit(replace(two_blocks(), labelled=None), Seeds(0), CPU, Progress())
