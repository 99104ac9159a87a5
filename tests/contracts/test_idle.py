"""Every setting of every part changes a number, or its part says that it cannot (``idle``)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from recpoison.command.config import BASES, build
from recpoison.data.arrays import save_arrays
from recpoison.descriptions import identity
from recpoison.errors import UserError
from recpoison.evaluation.base import Evaluation, Measure
from recpoison.experiment import run
from recpoison.idle import PARTS, reason
from recpoison.models.popularity import Popularity
from recpoison.parts import Parts
from recpoison.paths import CONF_DIR
from recpoison.progress import Progress
from recpoison.seeds import Seeds

# What changes no number by its nature, and so is no sign of a mistake.
ELSEWHERE = {
    "backend": "how it is computed: the same numbers but for rounding",
    "memory_mb": "memory",
    "memory_limit": "memory",
    "name": "what tables call the data",
    "plan": "how many flips are made at once, of which the first are used",
    "drop_invalid": "broken rows, of which these data have none (test_table.py has)",
}
# What the constructor refuses without another setting, or in a part that knows one value only; a composition below has
# both.
TOGETHER = {"items", "selected_items", "profile_size", "missing", "solver"}

OTHERS: dict[str, list[Any]] = {  # values to try; a mapping is of settings beside it
    "optimizer": ["sgd", "adagrad", "adam", "momentum"],
    "initial": ["xavier", "normal", "truncated_normal", "xavier_own"],
    "regularized": ["final", "layer_0"],
    "sampler": ["users"],
    "shifted": ["final", "layer_0"],
    "activation": ["tanh", "selu", "sigmoid"],
    "likelihood": ["sum", "mean"],
    "precision": ["bfloat16", "float32"],
    "similarity": ["cosine", "jaccard"],
    "neighbors_of": ["candidate", "history"],
    "hidden": [[5, 3]],
    "max_norm": [0.1, None],
    "dropout": [0.2],
    "learning_rate": [0.003],
    "margin": [0.02],
    "steps": [4, 1],
    "below": [100],
    "eps": [0.5],
    "fillers": [2],
    "filler_ratings": ["item_normal"],
    "influential_users": [3],
    "n_fake_users": [5],
    "n_flips": [30],
    "edges_per_step": [7],
    "initial_values": ["victim", "own"],
    "initialisation": ["redrawn", "fixed", {"initialisation": "redrawn", "initial_values": "own"}],
    "approximate_sum": ["after_steps", "dependence"],
    "outer_labels": ["fixed", {"outer_labels": "fixed", "approximate_sum": "dependence"}],
    "new_users": [2, {"new_users": 2, "similar_users": 0}],
    "similar_users": [3, {"similar_users": 2, "new_users": 0}],
    "sampled_share": [0.1],
    "zeros": [90],
    "unseen": [0.4],
    "edges": ["train", {"edges": "unseen", "unseen": 0.2}],
    "perturbed": ["included", "excluded"],
    "curve_flips": [4],
    "curve_fakes": [[2]],
    "craft_seed": [1],
    "generator": [[4]],
    "discriminator": [[5]],
    "zero_ratio": [0.1],
    "item_std": ["population", "sample"],
    "select": ["popular", {"select": "similar", "selected_items": []}, {"select": "list", "selected_items": [1, 5]}],
    "selected_items": [[1, 4]],
    "rule": ["random", {"rule": "list", "items": [3]}, "head", "similarity", "in_degree"],
    "items": [[5, 6]],
    "labels": [True, False],
    "objective": ["untargeted", "nuke"],
    "start": ["zeros", "zero", "users", "uniform"],
    "fakes_per_step": [4],
    "shrink": [0.3],
    "attack_weight": [3000.0],
    "expected_hit_ratio": [0.5],
    "sampled_users": [0.5],
    "popular_items": [0.8],
    "target_vector": ["mean_entry"],
    "lists": ["fake_user"],
    "longest_start": [4],
    "unroll_steps": [1],
    "weights": ["detached", "differentiated"],
    "decay": ["none", "linear"],
    "gradient": ["raw", "row_l2"],
    "keep": ["projected", "latent", "last", "best"],
    "projection": [{"projection": "top_n", "profile_size": 4}, "box", "none", "row_l2", "threshold"],
    "threshold": [0.8],
    "bound": [0.3],
    "profile_size": [2, "mean"],
    "momentum": [0.5],
    "direction": ["sign", "row_l2"],
    "negatives": ["fresh", "fixed"],
    "distribution": ["uniform", "gaussian"],
    "goal": ["targeted", "untargeted"],
    "users": [[0, 1]],
    "n_users": [3, 14],
    "min_user": [9, 16],
    "min_item": [9],
    "k_core": [5],
    "epsilon": [0.05],
    "step_size": [0.07],
    "confidence": [0.5],
    "unit": ["instance", "row_batch"],
    "copied": [3],
    "user_lambda": [0.7],
    "loss_of_user": ["mean"],
    "length": ["plain"],
    "from_epoch": [1],
    "teacher_embedding_size": [2],
    "components": [1],
    "suspected": [0.3],
    "n_erm_users": [7],
    "statistics": ["before"],
    "pre_training": [2],
    "scaling": ["none", "minmax"],
    "risk": ["sigmoid_mean"],
    "solver": ["cg", "lissa", "cholesky"],
    "curvature": ["hessian"],
    "blocks": ["full", "diagonal"],
    "damping": [0.3],
    "tolerance": [0.9],
    "scale": [3.0],
    "n_suspected": [7, None],
    "feature": ["rdma", "wdma", "length_variance", "degree_similarity"],
    "neighbours": [5],
    "trees": [3],
    "source": ["truth", "known", "simulated", {"source": "csv", "source_settings": ["path=more.csv"]}, None],
    "simulated": [0.3],
    "known": [0.9],
    "genuine": [0.7],
    "rounds": [1, 8],
    "window": [6, 2],
    "sample_size": [8],
    "metrics": [["HR", "MRR"], ["OutlierAUROC"], ["AUROC"]],
    "cutoffs": [[2]],
    "perplexities": [[2.0]],
    "ties": ["for", "against"],
    "rows": ["valid"],
    "owners": ["included", "excluded"],
    "target_hr": ["any", "mean"],
    "select_on": ["test", "last"],
    "select_metric": ["AUC", "HR@1", "NDCG@3"],
    "curve_epochs": [1],
    "curve_steps": [1],
    "curve_epsilons": [[0.1]],
    "sample_users": [4],
    "binarise_at": [4.0],
    "duplicates": ["keep", "merge"],
    "count": ["rows", "pairs", 2],
    "method": ["ratio", "leave_one_out_random"],
    "test": [0.5],
    "validation": [1],
    "separator": ["\t"],
    "user": ["item"],
    "item": ["user"],
    "rating": ["time"],
    "time": ["rating", None],
    "low": [{"low": 0.5, "step": 0.5}, {"low": 1.0, "high": 5.0, "rating": "rating"}],
    "high": [6.0, {"low": 1.0, "high": 5.0, "rating": "rating"}],
    "step": [0.5],
    "encoding": ["utf-16"],
    "missing": [["3"]],
    "header": [False],
    "test_path": ["more.csv", None],
    "path": ["more.csv", "more.json"],
    "repeated_clicks": ["keep"],
    "min_length": [5],
    "fake_split": ["70-10-20"],
    "id_space": ["mapped"],
    "first_fake": [2],
    "queried": [Popularity()],
    "source_share": [0.9],
    "queries": [24],
    "discount": [0.0],
    "source_settings": [["path=more.csv", "filters.min_user=8"]],
    "item_map": ["map.csv"],
    "policy": ["random", "tree"],
    "kept_share": [0.3, None],
}
TRAINER = {"trainer.epochs": 4, "trainer.batch_size": 16}
UNROLLED = {
    **{f"surrogate.{key}": value for key, value in TRAINER.items()},
    "outer.iterations": 3,
    "cutoff": 3,
    "budget": 0.1,
    "targets.rule": "random",
    "targets.count": 3,
}
FILLED = {"budget": 0.1, "targets.rule": "random", "fillers": 4}
GAN = {"gan.epochs": 2, "gan.generator": [5, 3], "gan.discriminator": [6, 4], "n_selected": 2, "round_ratings": False}
GAN |= {"gan.generator_batch_size": 8, "gan.discriminator_batch_size": 4, "gan.discriminator_learning_rate": 0.03}
LISTED = {"targets.rule": "list", "targets.items": [2, 7]}
BPRMF = ["model=bprmf", "model.embedding_size=4", "model.trainer.epochs=4", "model.trainer.batch_size=16"]
MF = ["model=mf", "model.embedding_size=4", "model.trainer.epochs=4", "model.trainer.batch_size=16"]
AIMED = ["attack=random", "attack.budget=0.1", "attack.targets.count=3", "attack.targets.rule=random"]
TARGETED = {"goal": "targeted", "targets.count": 2}
BIM = ["attack=bim", "attack.steps=6"]
NOISY = [*BPRMF, "model.trainer.epochs=9", "model.trainer.optimizer=adam", "model.trainer.learning_rate=0.3"]
TARGETS = ["attack.goal=targeted", "attack.targets.count=3", "attack.targets.rule=random"]
LINKS = ["evaluation=link_prediction", "model=cf", "model.embedding_size=3", "model.hidden=[3]"]
LINKS += ["model.edge_trainer.steps=4"]
FLIPPED = [*LINKS[1:], "attack=random_edges", "attack.budget=0.15"]
TIES = ("ties",)
LISTS = {"cutoffs": [3, 5], "select_every": 1}


@dataclass
class Case:
    """An option of a group in a sound composition: settings of its own, and overrides of what stands around it."""

    group: str
    option: str
    own: dict[str, Any] = dataclasses.field(default_factory=dict)
    around: list[str] = dataclasses.field(default_factory=list)
    unseen: tuple[str, ...] = ()  # what these small data do not show, and another case does

    @property
    def name(self) -> str:
        told = [f"{key}={value}" for key, value in self.own.items() if key not in {**UNROLLED, **FILLED, **TRAINER}]
        return " ".join([f"{self.group}={self.option}", *told, *self.around])


def cases() -> Iterator[Case]:
    yield from models()
    yield from attacks()
    for group in ("defense", "evaluation"):
        yield from (defenses if group == "defense" else evaluations)()


def models() -> Iterator[Case]:
    tables = {"embedding_size": 4} | TRAINER
    hinges = {"negatives": 3, "margin": 0.3}
    for option in ("bprmf", "mf", "cml", "gmf", "cf", "neumf", "wrmf"):
        layers = {"neumf": {"hidden": [6, 3]}, "cf": {"hidden": [6]}}
        own = tables | (layers | {"cml": hinges}).get(option, {})
        for optimizer in ("sgd", "adam", *(["adagrad"] if option != "wrmf" else [])):
            rate = {"trainer.learning_rate": 0.5 if option == "mf" else 0.0005 if option == "wrmf" else 0.02}
            yield Case("model", option, own | {"trainer.optimizer": optimizer} | rate)
    yield Case("model", "bprmf", tables | {"initial": "xavier"})
    yield from edge_models()
    yield Case("model", "mf", tables | {"initial": "normal"})
    for optimizer in ("sgd", "adagrad", "adam"):
        yield Case("model", "pcmf", tables | {"trainer.optimizer": optimizer, "trainer.learning_rate": 0.1})
    yield Case("model", "cml", tables | hinges | {"covariance": 1.0})
    yield from lightgcn()
    yield Case("model", "item_ae", TRAINER | {"hidden": [6, 4]})
    small = {"hidden_size": 6, "code_size": 3, "kl_step": 0.1}
    yield Case("model", "mult_vae", TRAINER | small)
    yield Case("model", "mult_vae", TRAINER | small | {"kl_weight": 0.0})
    yield Case("model", "mult_vae", TRAINER | small | {"kl_step": 0.0})
    yield Case("model", "wrmf_als", {"embedding_size": 4, "sweeps": 2})
    yield Case("model", "item_knn", {"neighbors": 3})
    yield from (Case("model", option) for option in ("popularity", "random"))


def edge_models() -> Iterator[Case]:
    """Networks on pairs, with and without layers, as ranking models and where edges and zeros are learned."""
    small = {"embedding_size": 4, "initial_std": 0.5} | TRAINER
    yield Case("model", "gmf", small | {"hidden": [6, 3], "trainer.learning_rate": 0.02})
    yield Case("model", "cf", small | {"hidden": [], "trainer.learning_rate": 0.02})
    for option, layers in (("cf", []), ("gmf", [6, 3]), ("neumf", [6])):
        own = small | {"hidden": layers, "edge_trainer.steps": 4, "edge_trainer.learning_rate": 0.02}
        yield Case("model", option, own, LINKS[:1])
    rule = {"edge_trainer.optimizer": "momentum", "edge_trainer.learning_rate": 0.5}
    yield Case("model", "cf", small | {"hidden": [6], "edge_trainer.steps": 4} | rule, LINKS[:1])


def lightgcn() -> Iterator[Case]:
    own = {"embedding_size": 4, "layers": 2, "regularization": 0.1} | TRAINER | {"trainer.learning_rate": 0.02}
    yield Case("model", "lightgcn", own)
    yield Case("model", "lightgcn", own, ["attack=fgsm"])
    for optimizer in ("sgd", "adagrad"):
        yield Case("model", "lightgcn", own | {"trainer.optimizer": optimizer, "trainer.learning_rate": 2.0})
    for kept in ({"regularized": "final"}, {"shifted": "final"}, {"regularization": 0.0}):
        yield Case("model", "lightgcn", own | {"layers": 0, "initial": "xavier_own"} | kept, ["attack=fgsm"])
    linked = {"edge_trainer.steps": 4, "edge_trainer.learning_rate": 0.02}
    yield Case("model", "lightgcn", own | linked, LINKS[:1])
    yield Case("model", "lightgcn", own | {"regularization": 0.0}, ["defense=apr"])


def attacks() -> Iterator[Case]:
    yield Case("attack", "none")
    for option in ("random", "average", "bandwagon", "segment", "rand_filter"):
        yield Case("attack", option, FILLED | {"round_ratings": False}, MF)
        yield Case(
            "attack", option, FILLED, ["dataset.low=null", "dataset.high=null", "dataset.rating=null", "model=item_knn"]
        )
    yield Case("attack", "average", FILLED | {"fillers": 0}, MF)
    for rule in ("in_degree", "ratings"):
        yield Case("attack", "power_users", {"budget": 0.2, "rule": rule, "neighbours": 3}, MF)
        yield Case("attack", "power_items", FILLED | {"rule": rule, "neighbours": 3, "round_ratings": False}, MF)
    yield Case("attack", "power_items", FILLED | {"fillers": 0}, MF)
    yield Case("attack", "random", FILLED | {"n_fake_users": 2}, MF)
    yield Case("attack", "random", FILLED | LISTED, MF)
    yield Case("attack", "random", FILLED | {"targets.rule": "unpopular", "targets.below": 12}, MF)
    yield Case("attack", "segment", FILLED | {"select": "list", "selected_items": [1, 2]}, MF)
    for off in ("epochs", "gan_weight", "reconstruction_weight", "shilling_weight"):
        yield Case("attack", "aush", FILLED | GAN | {f"gan.{off}": 0}, MF)
    yield Case("attack", "aush", FILLED | GAN, MF)
    yield from leg_up()
    for option in ("fgsm", "bim", "pgd"):
        steps = {} if option == "fgsm" else {"steps": 6}
        yield Case("attack", option, steps, BPRMF)
        yield Case("attack", option, steps | TARGETED, BPRMF)
    yield Case("attack", "bim", {"steps": 6}, MF)
    yield Case("attack", "bim", {"steps": 1, "step_size": 0.9}, BPRMF)
    yield Case("attack", "bim", {"steps": 6, "projection": "none", "step_size": 0.1}, BPRMF)
    yield Case("attack", "pgd", {"steps": 6, "start": "zero"}, BPRMF)
    yield Case("attack", "noise", {}, BPRMF)
    for goal in ({"goal": "targeted"}, {"goal": "untargeted"}, {"users": [0, 3]}):
        yield Case("attack", "cw", {"cutoff": 3, "steps": 5, "searches": 2, "learning_rate": 0.1} | goal, BPRMF)
    yield from copying()
    yield from given()
    yield from learned_fillers()
    yield from clicks()
    yield from learned_attacks()
    yield from edge_attacks()


def leg_up() -> Iterator[Case]:
    """The generator before the attack, against the discriminator and down the objective, all and some."""
    small = {"surrogate.embedding_size": 4, "surrogate.trainer.epochs": 4, "surrogate.trainer.batch_size": 16}
    small |= {"gan.hidden_size": 6, "gan.discriminator": [4], "gan.batch_size": 8, "gan.attack_steps": 4, "cutoff": 3}
    small |= {"gan.adversarial_steps": 4, "gan.learning_rate": 0.1, "budget": 0.2}
    yield Case("attack", "leg_up", FILLED | small, MF)
    for off in ("adversarial_steps", "epochs", "pre_training"):
        yield Case("attack", "leg_up", FILLED | small | {f"gan.{off}": 0}, MF)
    yield Case("attack", "leg_up", FILLED | small | {"fillers": 0}, MF)


def copying() -> Iterator[Case]:
    """Users here and of another domain, by both policies."""
    implicit = ["dataset.low=null", "dataset.high=null", "dataset.rating=null", "model=item_knn"]
    small = {"n_fake_users": 6, "queries": 12, "group_size": 2, "spies": 9, "cutoff": 3, "hidden_size": 3, "depth": 2}
    small |= {"targets.rule": "random", "source_model.embedding_size": 3, "source_model.sweeps": 2}
    small |= {"learning_rate": 0.5}
    other = {"source": "csv", "source_settings": ["path=more.csv"]}
    little = ("discount", "weight")  # four rounds choose the same best; the last case shows these
    yield Case("attack", "copy", small, implicit, little)
    yield Case("attack", "copy", small | {"policy": "random"}, MF)
    yield Case("attack", "copy", small | other, implicit, little)
    yield Case("attack", "copy", small | other | {"kept_share": 1.0}, implicit)


def given() -> Iterator[Case]:
    """Fake users from files, one that names its targets and one with real users beside the fake ones."""
    implicit = ["dataset.low=null", "dataset.high=null", "dataset.rating=null", "model=item_knn"]
    yield Case("attack", "given", {"path": "fakes.json"}, implicit, unseen=("first_fake",))
    yield Case("attack", "given", {"path": "fakes.data", "own_targets": False}, implicit)


def learned_fillers() -> Iterator[Case]:
    """Attacks that learn which items to rate, on ratings and on implicit data."""
    small = {"surrogate.embedding_size": 4, "surrogate.trainer.epochs": 4, "surrogate.trainer.batch_size": 16}
    small |= {"implicit_surrogate.embedding_size": 4, "implicit_surrogate.sweeps": 2, "iterations": 3, "cutoff": 3}
    implicit = ["dataset.low=null", "dataset.high=null", "dataset.rating=null", "model=item_knn"]
    for around in (MF, implicit):
        yield Case("attack", "pga", FILLED | small, around)
        some = small | {"groups": 2, "list_length": 3, "influential_users": 6}
        cg = {"inverse.iterations": 2, "inverse.tolerance": 1e-4}
        lissa = {"inverse.solver": "lissa", "inverse.batch_size": 50, "inverse.iterations": 3, "inverse.scale": 20.0}
        lissa |= {"influential_users": 12}
        one_order = ("curvature", "blocks", "damping", "batch_size")  # the same users lead; apt's cases show these
        yield Case("attack", "tna", FILLED | some | cg, around, ("iterations", "tolerance"))
        yield Case("attack", "tna", FILLED | some | lissa, around, one_order)
        yield Case("attack", "tna", FILLED | some | {"influential_users": None}, around)


def clicks() -> Iterator[Case]:
    """Attacks made for implicit data, whose surrogates show in which items fake users click, and in nothing finer."""
    small = {"budget": 0.2, "targets.rule": "random", "targets.count": 2, "fillers": 4}
    trained = {"surrogate.embedding_size": 4, "surrogate.initial_std": 0.3}
    trained |= {"surrogate.trainer.epochs": 4, "surrogate.trainer.batch_size": 16}
    trained |= {"rounds": 2, "users_per_batch": 7, "cutoff": 3}
    for own in ({"alpha": 0.1, "confidence": 0.05}, {"rounds": 0}, {"alpha": 0.0}, {"fillers": 0}):
        yield Case("attack", "dp", small | trained | own)
    unlifted = {"hit_weight": 0.0, "keep": "last", "alpha": 3.0}
    yield Case("attack", "dp", small | trained | unlifted, [], ("keep", "batch_size"))
    near = {"attack_weight": 1000.0, "stealth_weight": 30.0, "neighbours": 7, "sampled_neighbours": 3}
    near |= {"fakes_per_step": 3}
    for own in ({}, {"stealth_weight": 0.0}):
        yield Case("attack", "feo", small | trained | near | own)
    yield Case("attack", "feo", small | trained | near | {"rounds": 0}, [], ("batch_size",))
    yield Case("attack", "feo", small | trained | near | {"attack_weight": 0.0}, [], ("stealth_weight",))
    solved = {"surrogate.embedding_size": 8, "surrogate.sweeps": 2, "popular_items": 0.3, "n_fake_users": 6}
    solved |= {"surrogate.regularization": 0.1, "surrogate.weight": 20.0}
    yield Case("attack", "rapu_r", small | solved | {"sampled_users": 1.0})
    few = ("target_vector", "weight", "initial_std")
    yield Case("attack", "rapu_r", small | solved | {"sampled_users": 0.2}, [], few)


def learned_attacks() -> Iterator[Case]:
    small = {"surrogate.embedding_size": 4}
    yield Case("attack", "bilevel_wrmf", UNROLLED | small)
    by_sgd = {"surrogate.trainer.optimizer": "sgd", "surrogate.trainer.learning_rate": 0.001}
    yield Case(
        "attack", "bilevel_wrmf", UNROLLED | small | {"start": "zeros"} | by_sgd, [], ("bound", "regularization")
    )
    still = {"outer.iterations": 0}
    yield Case("attack", "bilevel_wrmf", UNROLLED | small | still, [], ("click_targets", "threshold"))
    yield Case(
        "attack", "bilevel_wrmf", UNROLLED | small | {"outer.iterations": 1}, [], ("bound", "keep", "regularization")
    )
    top_n = {"outer.projection": "top_n", "outer.profile_size": 5}
    few = ("momentum", "threshold", "regularization")
    yield Case("attack", "bilevel_wrmf", UNROLLED | small | top_n, [], few)
    yield Case("attack", "bilevel_wrmf", UNROLLED | small | top_n | {"outer.keep": "projected"}, [], few)
    yield Case("attack", "bilevel_wrmf", UNROLLED | small | top_n | {"outer.bound": None}, [], few)
    yield Case("attack", "bilevel_item_ae", UNROLLED | {"surrogate.hidden": [6, 4]}, [], ("bound", "regularization"))
    graph = small | {"surrogate.trainer.learning_rate": 0.1, "surrogate.regularization": 0.1, "outer.step_size": 1.0}
    yield Case("attack", "bilevel_lightgcn", UNROLLED | graph, [], ("bound",))
    shifting = [*BPRMF, "defense=apr"]
    yield Case(
        "attack", "bilevel_lightgcn", UNROLLED | graph | {"surrogate.layers": 0}, shifting, ("bound", "momentum")
    )
    solved = {key: value for key, value in UNROLLED.items() if "trainer" not in key}
    solved |= {"surrogate.embedding_size": 4, "surrogate.sweeps": 2}
    yield Case("attack", "wrmf_als_gradient", solved | {"outer.step_size": 3.0}, [], ("bound", "keep", "gradient"))
    yield Case("attack", "wrmf_als_gradient", solved | {"outer.iterations": 0}, [], ("threshold",))
    both = {f"surrogates.{one}.{key}": value for one in ("wrmf", "item_ae") for key, value in TRAINER.items()}
    both |= {"surrogates.wrmf.embedding_size": 4, "surrogates.item_ae.hidden": [6, 4]}
    alone = {k: v for k, v in UNROLLED.items() if "surrogate" not in k}
    yield Case("attack", "bilevel_ensemble", alone | both, [], ("regularization",))


def edge_attacks() -> Iterator[Case]:
    """Which of their users, and by which derivative; a surrogate's own settings are shown by the meta-attack."""
    small = {"surrogate.embedding_size": 3, "surrogate.hidden": [3], "surrogate.edge_trainer.steps": 4, "budget": 0.15}
    for added in ({}, {"new_users": 3}, {"similar_users": 4}, {"similar_users": 4, "kmeans": True}):
        yield Case("attack", "random_edges", small | added, LINKS)
        yield Case("attack", "meta_attack", small | {"edges_per_step": 9} | added, LINKS)
    for choice in ({"approximate": True}, {"n_flips": 20}, {"initial_values": "victim"}):
        yield Case("attack", "meta_attack", small | {"edges_per_step": 9} | choice, LINKS)


def defenses() -> Iterator[Case]:
    yield Case("defense", "none")
    for option in ("apr", "amf_random"):
        bound = ("projection",)  # one step from 0 stays within it
        yield Case("defense", option, {}, BPRMF, bound)
        yield Case("defense", option, {}, [*BPRMF, "model.trainer.optimizer=sgd"], bound)
        yield Case("defense", option, {"from_epoch": 0}, BPRMF, bound)
        yield Case("defense", option, {"weight": 0.0}, BPRMF)
    yield Case("defense", "apr", {"start": "uniform", "start_width": 0.4, "steps": 2}, BPRMF)
    for option in ("vat", "pamacf"):
        yield Case("defense", option, {}, BPRMF)
        yield Case("defense", option, {"weight": 0.0}, BPRMF)
    yield Case("defense", "at", {}, MF)
    yield Case("defense", "at", {"from_epoch": 2, "direction": "sign"}, MF)
    yield Case("defense", "at", {"weight": 0.0}, MF)
    yield Case("defense", "distillation", {"epochs": 5}, BPRMF)
    yield Case("defense", "distillation", {"epochs": 5, "weight": 1.0}, BPRMF)
    yield from erm_users()
    for option in ("filter", "filter_degree", "filter_isolation"):
        small = {} if option == "filter" else {"detector.neighbours": 2}
        for own in ({"suspected": 0.2}, {"suspected": 0.0}, {"n_suspected": 4}, {"oracle": True}):
            yield Case("defense", option, small | own, [*MF, *AIMED])
    yield Case("defense", "filter", {"suspected": 0.2}, MF)
    yield Case("defense", "filter_degree", {"suspected": 0.2, "detector.feature": "rdma"}, MF)
    yield from labelled_filters()
    yield from reliability()
    yield Case("defense", "filter_un_rap", {"suspected": None, "detector.window": 3}, [*MF, *AIMED])
    yield Case("defense", "filter_un_rap", {"suspected": 0.2}, [*MF, *AIMED])


def reliability() -> Iterator[Case]:
    for source in ({"source": "simulated", "simulated": 0.2}, {"source": "known", "known": 0.4}, {"source": "truth"}):
        own = {"trees": 9, "neighbours": 2} | {f"labels.{name}": value for name, value in source.items()}
        yield Case("defense", "reliability", own, [*MF, *AIMED, "attack.budget=0.2"])
    yield Case("defense", "reliability", {"labels.source": "truth"}, MF)


def labelled_filters() -> Iterator[Case]:
    small = {"fap": {"rounds": 2}, "degree_sad": {"trees": 9}, "semi_sad": {"neighbours": 2, "rounds": 1}}
    for option, own in small.items():
        settings = {f"detector.{name}": value for name, value in own.items()} | {"suspected": 0.4}
        for source in ({"source": "simulated"}, {"source": "known", "known": 0.4}, {"source": "truth"}):
            labels = {f"detector.labels.{name}": value for name, value in source.items()}
            attacked = [*MF, *AIMED, "attack.budget=0.2"]
            unseen = ("rounds",) if labels.keys() > {"detector.labels.source"} else ()  # of two seeds in so few users
            yield Case("defense", f"filter_{option}", settings | labels, attacked, unseen)
        yield Case("defense", f"filter_{option}", settings | {"detector.labels.source": "truth"}, MF)


def erm_users() -> Iterator[Case]:
    few = {"erm_users": 0.2, "fillers": 3, "pre_training": 1}
    gentle = [*MF, "model.trainer.epochs=6", "model.trainer.learning_rate=1.0"]
    attacked = [*gentle, *AIMED, "attack.budget=0.5"]
    yield Case("defense", "apt_rand", few, attacked)
    yield Case("defense", "apt_rand", few | {"n_erm_users": 4}, MF)
    cg = {f"inverse.{name}": value for name, value in (("damping", 0.01), ("iterations", 2), ("tolerance", 1e-4))}
    lissa = {"inverse.solver": "lissa", "inverse.batch_size": 60, "inverse.iterations": 4}
    few_draws = ("tolerance", "risk")  # these move influences too little to draw other items from so few
    yield Case("defense", "apt", few | cg, attacked, few_draws)
    yield Case("defense", "apt", few | lissa | {"scaling": "none", "temperature": 30.0}, gentle)
    yield Case(
        "defense", "apt", few | lissa | {"inverse.blocks": "diagonal"}, gentle, ("damping", "batch_size", *few_draws)
    )
    only_signs = ("reference_users", "curvature", "damping", "iterations", *few_draws)
    yield Case("defense", "apt", few | cg | {"temperature": 0.0}, gentle, only_signs)


def evaluations() -> Iterator[Case]:
    for option in ("full_ranking", "sampled"):
        own = LISTS | ({"n_negatives": 6} if option == "sampled" else {})
        yield Case("evaluation", option, own, ["model=item_knn", "model.neighbors=3", *AIMED])
        yield Case("evaluation", option, own, ["model=item_knn", *AIMED, "attack.targets.count=1"], TIES)
        yield Case("evaluation", option, own, [*NOISY, *BIM], TIES)
        yield Case("evaluation", option, own, [*NOISY, *BIM, *TARGETS], TIES)
        chosen = own | {"select_on": "test", "select_metric": "NDCG@5"}
        yield Case("evaluation", option, chosen, [*NOISY, *AIMED], TIES)
        yield Case("evaluation", option, own, [*NOISY, "attack=fgsm"], TIES)
        yield Case("evaluation", option, own, [*NOISY, "attack=none"], TIES)
        yield Case("evaluation", option, own | {"metrics": ["AUC"]}, ["model=item_knn", *AIMED], TIES)
    own = {"neighbours": 3, "sample_users": 8}
    yield Case("evaluation", "detection", own, [*BPRMF, *AIMED])
    yield Case("evaluation", "detection", own, ["model=wrmf_als", *AIMED])
    yield Case("evaluation", "link_prediction", {}, FLIPPED)
    yield Case("evaluation", "link_prediction", {"edges": "train"}, FLIPPED)
    yield Case("evaluation", "link_prediction", {"edges": "train"}, LINKS[1:])
    yield Case("evaluation", "user_map", {"clusters": 3, "perplexities": [5.0]}, FLIPPED)


def tables() -> Iterator[Case]:
    yield Case("dataset", "synthetic", {"n_users": 30, "n_items": 20, "rank": 3, "threshold": 1.0})
    yield Case("dataset", "planted", {"n_users": 12})
    timed = {"time": "time", "split.method": "leave_one_out_last"}
    rated = {"rating": "rating", "low": 1.0, "high": 5.0}
    yield Case("dataset", "csv", rated | timed | {"filters.min_user": 8, "split.method": "ratio_last"})
    yield Case("dataset", "csv", {}, unseen=("rating", "count"))
    yield Case("dataset", "csv", rated | timed, unseen=("count",))
    yield Case("dataset", "csv", rated | {"filters.min_user": 0, "split.method": "ratio"})
    yield Case("dataset", "csv", rated | {"filters.binarise_at": 3.0}, unseen=("count", "low", "high"))
    yield Case("dataset", "csv", rated | {"test_path": "more.csv", "split.method": "given"}, unseen=("count",))


@dataclass(frozen=True, eq=False)
class Seen:
    """Scores of all users, what the evaluation below looks at."""

    scores: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scores": self.scores}

    def save(self, path: Path) -> None:
        save_arrays(self.arrays(), path)


@dataclass(frozen=True, kw_only=True)
class Scores(Evaluation[Seen]):
    """Shows every number of a fitted model, so that none can change unseen."""

    def look(self, fitted, split, targets, seeds, device, progress) -> Seen:
        users = torch.arange(split.train.n_users)
        return Seen(fitted.scores(users).numpy())

    def read(self, path: Path) -> Seen:
        raise AssertionError("there is no store")

    def measures(self, seen, clean=None) -> list[Measure]:
        return [Measure("test", "HR", 1, float(seen.scores.sum()), 1)]

    def score(self, fitted, held_out, seeds) -> float:
        return 0.0

    @property
    def protocol(self) -> dict[str, str]:
        return {}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch) -> None:
    """Two tables of ratings by 30 users of 20 items, with repeated pairs, in the folder where the test is."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("ratings.csv", "more.csv")):
        rng = np.random.default_rng(number)
        likes = rng.standard_normal((30, 3)) @ rng.standard_normal((3, 20)) + rng.standard_normal(20)
        rows = [(u, i) for u in range(30) for i in np.argsort(-likes[u])[: 6 + u % 6]] + [(u, u % 4) for u in range(9)]
        values = np.clip(np.round(3 + likes), 1, 5).astype(int)
        lines = [f"{u + 100},{i + 50},{values[u, i]},{rng.integers(10**6)}" for u, i in rows]
        lines += lines[:3]
        Path(name).write_text("user,item,rating,time\n" + "\n".join(lines) + "\n")
    fakes = {"a": [50, 55, 9, 50], "b": [*range(50, 64, 2), 9], "c": [*range(51, 65), 9]}
    Path("map.csv").write_text("source,target\n" + "".join(f"{50 + n},{50 + (n + 3) % 20}\n" for n in range(20)))
    Path("fakes.json").write_text(json.dumps({"target_items": [50], "fake_users": fakes}))
    Path("more.json").write_text(json.dumps({"target_items": [52], "fake_users": fakes | {"a": [51, 60]}}))
    lines = [f"{number}\t{item}\t5.0" for number, items in enumerate(fakes.values()) for item in items]
    Path("fakes.data").write_text("\n".join(lines))


def composed(case: Case) -> DictConfig:
    data = ["dataset=csv", "dataset.path=ratings.csv", "dataset.rating=rating", "dataset.low=1", "dataset.high=5"]
    data = [] if case.group == "dataset" else data
    around = ["attack=none", "model=item_knn", "device=cpu", *data, *case.around]
    last = {text.partition("=")[0]: text for text in [*around, f"{case.group}={case.option}"]}
    if case.option == "csv":
        last["path"] = "dataset.path=ratings.csv"
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF_DIR)):
        cfg = compose("train_attack_eval", overrides=list(last.values()))
    for key, value in case.own.items():
        OmegaConf.update(cfg, f"{case.group}.{key}", value)
    return cfg


def parts_of(cfg: DictConfig) -> dict[str, Any]:
    return {group: build(cfg[group]) for group in BASES}


def changed(part: Any, change: dict[str, Any]) -> Any:
    """``part`` with other values of its settings, each dotted from the part."""
    inside: dict[str, dict[str, Any]] = {}
    for path, value in change.items():
        name, _, below = path.partition(".")
        inside.setdefault(name, {})[below] = tuple(value) if isinstance(value, list) else value
    old = part if isinstance(part, dict) else {name: getattr(part, name) for name in inside}
    new = {name: below[""] if "" in below else changed(old[name], below) for name, below in inside.items()}
    return part | new if isinstance(part, dict) else dataclasses.replace(part, **new)


def keys(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Settings below a node, with their values."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from keys(value, f"{path}.{name}")
        elif name != "_target_":
            yield f"{path}.{name}", value


def others(setting: str, value: Any, known: Collection[str]) -> list[dict[str, Any]]:
    """What to change, each a mapping of ``known`` settings to values."""
    above, _, name = setting.rpartition(".")
    given = OTHERS.get(name)
    if name == "count" and isinstance(value, int):
        given = [2, 1]
    if name == "negatives" and isinstance(value, int):
        given = [value + 1]
    if given is None:
        assert value is not None, f"say which values {setting} may have"
        given = [not value] if isinstance(value, bool) else [value + 1] if isinstance(value, int) else [value * 2 + 0.1]
    changes = [x if isinstance(x, dict) else {name: x} for x in given if x != value]
    full = [{f"{above}.{key}": x for key, x in change.items()} for change in changes]
    return [change for change in full if change.keys() <= known]


def outcome(group: str, parts: dict[str, Any]) -> dict[str, Any]:
    """All that a run leaves, from the very settings in ``parts``; its error, where it ends in one."""
    try:
        if group == "dataset":
            split = parts["dataset"].load(None, Seeds(0), Progress())
            return {"split": split.fingerprint}
        if group != "evaluation" and not parts["evaluation"].divides_edges:
            parts = parts | {"evaluation": Scores()}
        whole = Parts(**parts)
        for name in PARTS:
            object.__setattr__(whole, name, parts[name])
        record = run(whole, [0])
    except UserError as error:
        return {"error": str(error)}
    found: dict[str, Any] = {}
    for number, result in enumerate(record.results):
        found |= {f"{number}/seen/{name}": x for name, x in result.seen.arrays().items()}
        found |= {f"{number}/change/{name}": x for name, x in (result.change.arrays() if result.change else {}).items()}
        found |= {f"{number}/{m.subject}/{m.metric}@{m.k}": m.value for m in result.measures}
        found |= {f"{number}/curve/{row[:2]}/{row[4:7]}": row[7] for row in result.curve.rows}
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(alike(one[name], other[name]) for name in one)


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return one == other
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-5, atol=1e-7, equal_nan=True)


LONG = {"cw", "wrmf_als_gradient", "apr", "amf_random", "apt"}
LONG |= {"bilevel_wrmf", "bilevel_item_ae", "bilevel_lightgcn", "bilevel_ensemble"}


def marked(case: Case):
    """A case, slow where it takes more than a second or two of a processor, or others show the same mechanism."""
    slow = case.option in LONG or NOISY[-1] in case.around
    slow = slow or (case.group in ("attack", "evaluation") and case.option not in ("random", "full_ranking"))
    slow = slow or case.option.startswith("filter_")
    slow = slow or (case.option == "lightgcn" and len(case.around) > 0)
    slow = slow or case.option in ("at", "neumf", "gmf", "cml", "item_ae", "mult_vae", "power_users", "power_items")
    slow = slow or (case.group == "model" and case.own.get("trainer.optimizer") in ("sgd", "adagrad"))
    return pytest.param(case, marks=[pytest.mark.slow] if slow else [], id=case.name)


@pytest.mark.parametrize("case", [marked(case) for case in (*cases(), *tables())])
def test_every_setting_changes_a_number_or_is_idle(case):
    cfg = composed(case)
    base = parts_of(cfg)
    idle = Parts(**base).idle
    before = outcome(case.group, base)
    assert "error" not in before, before
    rest = Parts(**base)
    assert same(before, outcome(case.group, {name: getattr(rest, name) for name in PARTS})), "numbers changed at rest"
    wrong = []
    settings = dict(keys(OmegaConf.to_container(cfg[case.group]), case.group))
    for setting, value in settings.items():
        if setting.rpartition(".")[2] in ELSEWHERE:
            continue
        differ = []
        for change in others(setting, value, settings.keys()):
            own = {key.removeprefix(f"{case.group}."): new for key, new in change.items()}
            try:
                parts = base | {case.group: changed(base[case.group], own)}
                rest = Parts(**parts)
            except UserError:
                continue  # no sound composition
            differ.append(not same(before, outcome(case.group, parts)))
            if reason(setting, idle) and len(change) == 1 and described(rest) != described(Parts(**base)):
                wrong.append(f"{setting} is idle, but stays in the description")
        if not differ and setting.rpartition(".")[2] not in TOGETHER | {"select_on"}:
            wrong.append(f"{setting} has no other value in this test")
        if reason(setting, idle) and any(differ):
            wrong.append(f"{setting} changes numbers, but is idle: {reason(setting, idle)}")
        seen = setting.rpartition(".")[2] not in case.unseen
        if not reason(setting, idle) and differ and not any(differ) and seen:
            wrong.append(f"{setting}={value} changes no number, and nobody says so")
    assert not wrong, "\n".join(wrong)


def described(parts: Parts) -> list[Any]:
    return [identity(getattr(parts, name)) for name in PARTS]


# No csv holds a graph: these options' own tests try each of their settings.
ON_GRAPHS = {("model", "gcn"), ("attack", "metattack"), ("evaluation", "node_accuracy")}


def test_every_option_is_in_a_case():
    tried = {(case.group, case.option) for case in [*cases(), *tables()]} | ON_GRAPHS
    for group in ("model", "attack", "defense", "evaluation"):
        assert {file.stem for file in (CONF_DIR / group).glob("*.yaml")} == {o for g, o in tried if g == group}


def test_known_datasets_have_no_setting_that_csv_does_not_try():
    files = [file for file in (CONF_DIR / "dataset").glob("*.yaml") if "KnownRatings" in file.read_text()]
    assert len(files) > 10
    csv = {setting for setting, _ in keys(OmegaConf.to_container(OmegaConf.load(CONF_DIR / "dataset/csv.yaml")), "")}
    for file in files:
        mine = {setting for setting, _ in keys(OmegaConf.to_container(OmegaConf.load(file)), "")}
        assert mine <= csv | {".source", ".variant"}, file
