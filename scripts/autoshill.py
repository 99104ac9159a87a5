"""How often AutoShill, whose winner is chosen on other seeds, comes up to the best single attack in hindsight.

    python scripts/autoshill.py outputs/multirun/audit-*

A line for each dataset, victim and bucket of the audits' runs, with the most fake accounts, and the share of all.
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
    return reaches_best(rows, audit.worst).assign(dataset=audit.dataset)


def main(folders: list[str]) -> None:
    """Print the table as markdown."""
    found = pd.concat([lines(audit) for audit in audits_of(read_runs(folders))], ignore_index=True)
    print("| dataset | victim | bucket | fake accounts | best attack | to be reached | AutoShill | reached |")
    print("|---|---|---|--:|---|--:|--:|---|")
    for row in found.itertuples():
        numbers = f"{row.least:.4f} | {row.mean:.4f} | {'yes' if row.reached else 'no'}"
        print(f"| {row.dataset} | {row.victim} | {row.bucket} | {row.budget} | {row.best} | {numbers} |")
    print(f"\n{found.reached.sum()} of {len(found)} cells ({found.reached.mean():.0%})")


if __name__ == "__main__":
    main(sys.argv[1:])
