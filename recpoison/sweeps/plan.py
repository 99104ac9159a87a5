"""What a sweep would do: its cells, what is stored of each, and what the rest may cost. Nothing is run or written."""

from __future__ import annotations

from pathlib import Path

import rich
from rich.table import Table

from recpoison.command import cells
from recpoison.command.overrides import Job, Sweep
from recpoison.errors import ConfigError, UserError
from recpoison.stages.store import Store
from recpoison.sweeps.inventory import Need, Stocktaking
from recpoison.sweeps.prices import Price, Prices, in_words, measured_costs
from recpoison.sweeps.roster import what_differs
from recpoison.sweeps.sweep import named_cells, settled, shown
from recpoison.sweeps.undefined import defined_only, say_left_out


def show_plan(sweep: Sweep, trusted: list[str]) -> int:
    """Print the plan of a sweep.

    Args:
        sweep: What would run.
        trusted: Packages besides ``recpoison`` that may be imported.

    Returns:
        The exit code: 2 where a cell's settings are refused, else 0.

    Raises:
        ConfigError: If the sweeper decides as it goes.
        IncompatibleParts: If cells that are not defined are to be left out, and no other is left.
    """
    whole = sweep
    sweep, left_out = defined_only(whole, trusted)
    named = named_cells(sweep)
    if sweep.jobs is None or named is None:
        raise ConfigError("sweep.plan needs the whole grid beforehand, but this sweeper decides as it goes")
    table = Table(box=None, pad_edge=False)
    for name in ("cell", "what differs", "status", "stages stored", "left to do"):
        table.add_column(name, overflow="fold")
    counter = _Counter(sweep, trusted)
    differs = what_differs(named)
    for cell, job in {job.cell: job for job in sweep.jobs}.items():
        status = cells.read_status(sweep.folder / cell)
        word = status.status if status else "pending"
        if settled(sweep.folder / cell, status, job.settings, trusted, sweep.cfg.sweep.retry_failed):
            stored, left = "", "nothing"
        else:
            stored, left = counter.count(job)
        table.add_row(cell, " ".join(differs[cell]), word, stored, left)
    if left_out:
        say_left_out(left_out, len(whole.jobs or ()))
    console = rich.get_console()
    console.print(table)
    rest = in_words(counter.left.values())
    console.print(f"{len(named)} cells in {shown(sweep.folder)}; left to do, shared stages once: {rest}")
    return 2 if counter.refused else 0


class _Counter:
    """Counts what cells lack, and what all lack together."""

    def __init__(self, sweep: Sweep, trusted: list[str]) -> None:
        self.left: dict[str, tuple[Need, Price | None]] = {}
        self.refused = 0
        self._stocktaking = Stocktaking(trusted)
        self._measured = measured_costs(sweep)
        self._prices: dict[Path | None, Prices] = {}

    def count(self, job: Job) -> tuple[str, str]:
        """How many of a cell's stages are stored, and what the others cost, in words."""
        try:
            needs, store = self._stocktaking.needs_of(job)
        except UserError as error:
            self.refused += 1
            return "", f"refused: {str(error).splitlines()[0]}"
        costs = [(need, self._prices_of(store).of(need, job)) for need in needs if not need.stored]
        self.left.update({need.key: (need, price) for need, price in costs})
        return f"{sum(need.stored for need in needs)} of {len(needs)}", in_words(costs)

    def _prices_of(self, store: Store | None) -> Prices:
        folder = store.folder if store else None
        if folder not in self._prices:
            self._prices[folder] = Prices(store.entries() if store else (), self._measured)
        return self._prices[folder]
