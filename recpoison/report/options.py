"""What ``recpoison-report`` can be asked."""

from __future__ import annotations

import argparse
from pathlib import Path
from textwrap import fill

from recpoison.evaluation.subjects import PAIRED_TESTS, SUBJECTS, in_words
from recpoison.published.tables import names
from recpoison.report.equal_budget import BUDGETS, lengths_in
from recpoison.report.export import EXPORTS

ENDINGS = {"console": "txt", "csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
_EXAMPLES = """examples:
  recpoison-report outputs/latest
  recpoison-report 'outputs/multirun/*' --all report
  recpoison-report outputs/latest --rows attack.budget --columns attack --metric HR@50
  recpoison-report outputs/latest --format latex --output table.tex
  recpoison-report outputs/latest --export csv
  recpoison-report apt_table_2

published tables (before any paths; runs are those below outputs/ where no path is given):
{tables}"""


def parser() -> argparse.ArgumentParser:
    """The options, with their help and examples."""
    asked = argparse.ArgumentParser(
        prog="recpoison-report",
        description="One table over runs and sweeps: what each attack did, mean ± sd over seeds, with stars.",
        epilog=_EXAMPLES.format(tables=fill(", ".join(names()), 78, initial_indent="  ", subsequent_indent="  ")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = asked.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="folder of a run, of a sweep, or of several; a glob in quotes; or first the name of a published table",
    )
    add("--rows", metavar="KEY[,KEY]", help="down: dataset, model, attack, defense, or a key such as attack.budget")
    add("--columns", metavar="KEY", help="across: the same choice")
    add("--metric", metavar="HR@50", help="what is measured (default: HR@50 of target, HR@10 of test)")
    add(
        "--subject",
        choices=SUBJECTS,
        metavar="NAME",
        help=f"whose metric (default: target if measured): {in_words(set(SUBJECTS))}",
    )
    add("--format", choices=tuple(ENDINGS), help="default: by the ending of --output, else console")
    add("--output", metavar="FILE|DIR", type=Path, help="write there instead of printing")
    add("--figures", metavar="DIR", type=Path, help="write figures there as PNG and PDF")
    add(
        "--all",
        metavar="DIR",
        type=Path,
        help="write report.csv, .md, .tex, .html and figures there; of runs with curves also curve.csv and "
        "equal_budget.csv, .md, .tex; of an audit also audit.html and .md",
    )
    add(
        "--row-l2",
        metavar="0.5,1,2,4",
        type=lengths_in,
        default=BUDGETS,
        help="columns of the table at equal budget: lengths of the longest row's shift (attacks on embeddings)",
    )
    add(
        "--characteristics",
        action="store_true",
        help="also the loss of a metric (default: NDCG@10 of test) over density, size and shape of the data, with "
        "fitted lines, over runs on subsamples, such as dataset.filters.k_core=10,20,30; --all adds "
        "characteristics.csv",
    )
    add(
        "--keep",
        action="store_true",
        help="of a published table: write what the runs gave for each cell into recpoison/published/ours/TABLE.csv",
    )
    add(
        "--export",
        choices=EXPORTS,
        help="instead of tables, write fake users for other projects and for attack=given: csv (fake user, item, "
        "rating), json (VAT's) or npy (a matrix, as APT's), into the folder of --output or into each run's own",
    )
    add(
        "--test",
        choices=tuple(PAIRED_TESTS),
        default="t",
        help="what p-values over seeds are of (default: t); wilcoxon and permutation are exact for small n",
    )
    add(
        "--average-repeated",
        action="store_true",
        help="take the mean where a cell was measured twice with different numbers",
    )
    return asked
