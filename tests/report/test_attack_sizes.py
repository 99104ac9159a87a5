"""Sizes of attacks, counted by hand from what ``run.json`` says."""

from dataclasses import replace
from pathlib import Path

from recpoison.report.attack_sizes import attack_sizes
from recpoison.report.runs import Run, Runs, read_runs
from recpoison.report.tables import Table, with_notes


def _with(run: Run, **rows: int) -> Run:
    """``run`` with four fake users of so many rows by seed, beside 200 real rows, and a shift."""
    changes = {f"seed={seed[1:]}/attack=average/defense=none": {"fake_users": 4, "rows": n} for seed, n in rows.items()}
    shift = {"seed=0/attack=fgsm/defense=none": {"norms": {"user": {"row_l2": 0.5}}}}
    data = {seed[1:]: {"train_rows": 200} for seed in rows}
    return replace(run, about={"changes": changes | shift, "data": data})


def test_rows_are_counted_over_runs_and_seeds(sweep: Path) -> None:
    first, second = read_runs([sweep]).runs[:2]
    same = Runs((_with(first, s0=8, s1=8),), ())
    assert attack_sizes(same) == ["average on filmtrust: 4 fake users with 2.0 rows each, 4.00% of the real rows"]
    mixed = Runs((_with(first, s0=8), _with(second, s0=50), replace(first, about={})), ())
    text = "average on filmtrust: 4 fake users with 2.0 to 12.5 rows each, 4.00% to 25.00% of the real rows"
    assert attack_sizes(mixed) == [text]
    assert text in with_notes(Table("t", (), (), (), ()), mixed).notes
