"""How often AutoShill, whose winner is chosen on other seeds, comes up to the best single attack in hindsight.

    python scripts/autoshill.py outputs/multirun/audit-*

A line for each dataset, victim and bucket of the audits' runs, with the most fake accounts, and the share of all.
Where no attack is more than noise there is little to reach, so that those lines are marked and counted apart.
"""

from __future__ import annotations

import sys

import pandas as pd

from recpoison.report.audit.autoshill import reaches_best
from recpoison.report.audit.findings import Audit, audits_of
from recpoison.report.runs import read_runs


def lines(audit: Audit) -> pd.DataFrame:
    """The undefended cells of a dataset, with the most fake accounts."""
    rows = audit.at(audit.cells.frame, budget=audit.cells.largest)
    found = reaches_best(rows, audit.worst)
    noise = [(row.victim, row.bucket) not in audit.fallen for row in found.itertuples()]
    return found.assign(dataset=audit.dataset, noise=noise)


def main(folders: list[str]) -> None:
    """Print the table as markdown."""
    found = pd.concat([lines(audit) for audit in audits_of(read_runs(folders))], ignore_index=True)
    print("| dataset | victim | bucket | fake accounts | best attack | to be reached | AutoShill | reached |")
    print("|---|---|---|--:|---|--:|--:|---|")
    for row in found.itertuples():
        best = f"{row.best}, noise" if row.noise else row.best
        numbers = f"{row.least:.4g} | {row.mean:.4g} | {'yes' if row.reached else 'no'}"
        print(f"| {row.dataset} | {row.victim} | {row.bucket} | {row.budget} | {best} | {numbers} |")
    apart = found[~found.noise]
    print(f"\nReached in {found.reached.sum()} of {len(found)} cells ({found.reached.mean():.0%}); of those")
    print(f"where an attack is more than noise in {apart.reached.sum()} of {len(apart)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
