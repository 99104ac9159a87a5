"""How many rows the fake users of each attack added: equal numbers of fake users may be very unequal attacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from recpoison.report.runs import Runs

# Fake users, their rows, rows of real users, by (dataset, attack).
_Sizes = dict[tuple[str, str], list[tuple[int, int, int]]]


def attack_sizes(runs: Runs) -> list[str]:
    """A sentence for each dataset and attack by fake users: rows of a fake user and their share of the real rows.

    A range is given where runs or seeds differ. Attacks that shift a model's tables are not told of: the norms they
    used stand in ``curve.csv`` and ``run.json``.
    """
    found: _Sizes = defaultdict(list)
    for run in runs.runs:
        dataset = str(run.metrics.dataset.iloc[0]) if len(run.metrics) else ""
        for path, facts in run.about.get("changes", {}).items():
            cell = dict(part.split("=", 1) for part in path.split("/"))
            real = run.about.get("data", {}).get(cell["seed"], {}).get("train_rows")
            if facts.get("fake_users") and real:
                found[dataset, cell["attack"]].append((facts["fake_users"], facts["rows"], real))
    return [_sentence(*name, sizes) for name, sizes in found.items()]


def _sentence(dataset: str, attack: str, sizes: Sequence[tuple[int, int, int]]) -> str:
    users = _range([users for users, _, _ in sizes], "{:,.0f}")
    noun = "user" if users == "1" else "users"
    each = _range([rows / users for users, rows, _ in sizes], "{:,.1f}")
    share = _range([rows / real for _, rows, real in sizes], "{:.2%}")
    return f"{attack} on {dataset}: {users} fake {noun} with {each} rows each, {share} of the real rows"


def _range(values: Sequence[float], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"
