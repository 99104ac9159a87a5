"""The one look of tables on the console: rules above and below the rows, no frame, bold heads."""

from __future__ import annotations

from rich.box import HORIZONTALS
from rich.table import Table


def ruled(title: str | None = None) -> Table:
    """An empty table in that look; its title stands to the left."""
    return Table(
        title=title,
        box=HORIZONTALS,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        title_style="bold",
        title_justify="left",
    )
