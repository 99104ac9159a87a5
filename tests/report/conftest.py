"""Hand-made run folders, as a run would leave them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROTOCOL = {"candidates": "all items but the user's training items", "ties": "against"}
Numbers = dict[tuple[str, str], dict[int, dict[tuple[str, str, str], float]]]


def write_run(
    folder: Path,
    dataset: str,
    numbers: Numbers,
    *,
    model: str = "bprmf",
    config: dict[str, Any] | None = None,
    overrides: tuple[str, ...] = (),
    p_users: float | None = None,
) -> Path:
    """Write one run folder: ``numbers[attack, defense][seed][subject, metric, k]`` is a value."""
    folder.mkdir(parents=True)
    lines, costs = ["dataset,model,attack,defense,seed,subject,metric,k,value,n"], []
    summary = ["dataset,model,attack,defense,subject,metric,k,mean,sd,n,difference,p,paired_over"]
    for (attack, defense), seeds in numbers.items():
        for seed, values in seeds.items():
            costs.append(f"fit,{attack}/{defense},{seed},2.5,300.0,False")
            for (subject, metric, k), value in values.items():
                lines.append(f"{dataset},{model},{attack},{defense},{seed},{subject},{metric},{k},{value!r},900")
                p = p_users if p_users is not None and attack != "none" else ""
                over = "users" if p != "" else ""
                summary.append(f"{dataset},{model},{attack},{defense},{subject},{metric},{k},{value!r},,1,,{p},{over}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "summary.csv").write_text("\n".join(summary) + "\n")
    (folder / "costs.csv").write_text("\n".join(["stage,cell,seed,seconds,peak_mb,reused", *costs]) + "\n")
    command = " ".join(["recpoison", *overrides])
    about = {"protocol": PROTOCOL, "command": command, "versions": {"recpoison": "0.1.0"}, "device": "cpu"}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "config.yaml").write_text(json.dumps(config or {}))
    (folder / "overrides.yaml").write_text(json.dumps(list(overrides)))
    return folder


def write_curve(folder: Path, rows: list[tuple[Any, ...]], dataset: str = "a", model: str = "bprmf") -> None:
    """Write ``curve.csv``: a row is attack, defense, seed, along, at, row_l2, linf, subject, metric, k, value."""
    lines = ["dataset,model,attack,defense,seed,along,at,row_l2,linf,subject,metric,k,value,n"]
    lines += [",".join(map(str, (dataset, model, *row, 900))) for row in rows]
    (folder / "curve.csv").write_text("\n".join(lines) + "\n")


def values(target: float, test: float) -> dict[tuple[str, str, str], float]:
    return {("test", "HR", "10"): test, ("target", "HR", "50"): target}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two seeds of two attacks on filmtrust, one job each: 0 random/0, 1 random/1, 2 average/0, 3 average/1.

    Clean target HR@50 is 0.1 and 0.2; random adds 0.1 and 0.3, average adds 0.4 and 0.6.
    Clean test HR@10 is 0.6 and 0.7; both attacks take 0.05 and 0.07.
    """
    clean = {0: (0.1, 0.60), 1: (0.2, 0.70)}
    gains = {"random": {0: 0.1, 1: 0.3}, "average": {0: 0.4, 1: 0.6}}
    job = 0
    for attack, gain in gains.items():
        for seed, (target, test) in clean.items():
            attacked = values(target + gain[seed], test - {0: 0.05, 1: 0.07}[seed])
            write_run(
                tmp_path / "sweep" / str(job),
                "filmtrust",
                {("none", "none"): {seed: values(target, test)}, (attack, "none"): {seed: attacked}},
                config={"seed": seed, "attack": {"_target_": attack, "budget": 0.01}, "model": {"epochs": 3}},
                overrides=("dataset=filmtrust", f"attack={attack}", f"seed={seed}"),
                p_users=0.04,
            )
            job += 1
    return tmp_path / "sweep"


@pytest.fixture
def make_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def make_values() -> Callable[[float, float], dict[tuple[str, str, str], float]]:
    return values


@pytest.fixture
def make_curve() -> Callable[..., None]:
    return write_curve


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    """Attacks on embeddings over epsilon, two seeds: 0 fgsm, 1 pgd in a box, 2 pgd within a row's length.

    Clean NDCG@10 is 0.6 and 0.8. Row L2 is epsilon, in the box 8 epsilon; L-infinity is epsilon / 2. Seed 0 has fgsm
    0.6, 0.5, 0.3, 0.2 at epsilon 0, 0.5, 1, 2, and pgd 0.6, 0.4, 0.2, 0.1; seed 1 has 0.2 more throughout.
    """
    heights = {"fgsm": (0.6, 0.5, 0.3, 0.2), "pgd": (0.6, 0.4, 0.2, 0.1)}
    for job, (attack, projection) in enumerate((("fgsm", None), ("pgd", "box"), ("pgd", "row_l2"))):
        numbers: Numbers = {("none", "none"): {}, (attack, "none"): {}}
        rows = []
        for seed, more in ((0, 0.0), (1, 0.2)):
            numbers["none", "none"][seed] = {("test", "NDCG", "10"): 0.6 + more}
            numbers[attack, "none"][seed] = {("test", "NDCG", "10"): heights[attack][1] + more}
            for epsilon, height in zip((0.0, 0.5, 1.0, 2.0), heights[attack], strict=True):
                length = 8 * epsilon if projection == "box" else epsilon
                value = round(height + more, 6)
                rows.append((attack, "none", seed, "epsilon", epsilon, length, epsilon / 2, "test", "NDCG", 10, value))
        config = {"attack": {"projection": projection}} if projection else {"attack": {}}
        write_curve(write_run(tmp_path / "budgets" / str(job), "a", numbers, config=config), rows)
    return tmp_path / "budgets"
