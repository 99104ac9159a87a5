"""What ``recpoison --help`` says: read from the YAML files themselves, without torch or Hydra."""

from __future__ import annotations

import re

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recpoison.paths import CONF_DIR, first_comment

GROUPS = ("dataset", "model", "attack", "defense", "evaluation", "victim", "setting", "experiment", "tuned")
PRESETS = {  # groups whose options reach into others
    "victim": "a model with a paper's settings, in place of model=",
    "setting": "a paper's attack or dataset, in place of attack= or dataset=",
    "experiment": "a paper's table or figure; what is typed beside it wins",
    "tuned": "what suits a model, or a preset's defense, on one dataset; taken by itself, and what is typed wins",
}
EXAMPLES = (
    ("recpoison", "the demo: a synthetic dataset, attacked"),
    ("recpoison dataset=ml_100k attack=average attack.budget=0.03 repeats=3", "real data, three seeds, with p-values"),
    ("recpoison -m dataset=filmtrust,ml_100k attack=random,average seed=0,1", "a sweep: every combination"),
)
_EVERYDAY = re.compile(r"^(\w+): *(\S+) *# *(.+)$")
_DEFAULT = re.compile(r"^ *- (\w+): (\w+)$")


def show_help(console: Console) -> None:
    """Print usage, the options of each group, the everyday settings and three commands to start from."""
    console.print("Train a recommender, attack it, defend it, and measure what happened.\n")
    console.print("Usage: recpoison [-m] [GROUP=OPTION ...] [SETTING=VALUE ...]", markup=False)
    defaults = _defaults()
    for group in GROUPS:
        rows = [(name + (" *" if defaults.get(group) == name else ""), said) for name, said in described(group)]
        if rows:
            _section(console, f"{group}=", rows, PRESETS.get(group, ""))
    _section(console, "Everyday settings", [(f"{key}={value}", said) for key, value, said in everyday()])
    more = [
        ("-m, --multirun", "run every combination of values given as a,b,c"),
        ("sweep.plan=true", "with -m: list the runs, what is stored and what is left to do, and stop"),
        ("sweep.skip_undefined=true", "with -m: leave out, and name, cells whose parts do not fit together"),
        ("sweep.retry_failed=true", "with -m: try failed runs again; the same command otherwise does what is missing"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=2", "with -m: two runs at a time; also submitit_slurm and ray"),
        ("--cfg job", "print the composed settings instead of running: recpoison attack=average --cfg job"),
        ("--config-dir DIR", "a folder with your own YAML, such as DIR/attack/mine.yaml"),
        ("--trust PACKAGE", "let YAML name classes of this package; only the command line can say so"),
        ("--version, --hydra-help", "the version; Hydra's own options"),
    ]
    _section(console, "Options", more)
    console.print("\n[bold]Examples[/bold]")
    for command, said in EXAMPLES:
        console.print(f"  # {said}\n  [cyan]{escape(command)}[/cyan]", soft_wrap=True, highlight=False)
    console.print("\n* is the default. Settings of an option are typed as attack.budget=0.03.", markup=False)
    console.print(
        "recpoison --help attack=bim explains an option: its rule, each setting, what it works with.", markup=False
    )


def described(group: str) -> list[tuple[str, str]]:
    """The options of a group, each with the comment its file begins with, after ``# @package`` where it has that."""
    return [(file.stem, first_comment(file)) for file in sorted((CONF_DIR / group).glob("*.yaml"))]


def everyday() -> list[tuple[str, str, str]]:
    """Name, default and meaning of the settings at the root, from their lines in the root YAML."""
    found = (_EVERYDAY.match(line) for line in _root_lines())
    return [(match[1], match[2], match[3]) for match in found if match]


def _defaults() -> dict[str, str]:
    found = (_DEFAULT.match(line) for line in _root_lines())
    return {match[1]: match[2] for match in found if match}


def _root_lines() -> list[str]:
    return (CONF_DIR / "train_attack_eval.yaml").read_text(encoding="utf-8").splitlines()


def _section(console: Console, title: str, rows: list[tuple[str, str]], about: str = "") -> None:
    console.print(f"\n[bold]{title}[/bold]" + (f"  {about}" if about else ""), highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=16, no_wrap=True)
    table.add_column()
    for name, said in rows:
        table.add_row(f"  [cyan]{escape(name)}[/cyan]", escape(said))
    console.print(table)
