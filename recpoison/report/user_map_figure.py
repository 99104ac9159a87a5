"""Users on planes of t-SNE with the centres of K-means: figure 4.9 of the meta-gradient report.

From what ``evaluation=user_map`` leaves in ``ranks.npz``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recpoison.report.drawing import RECORDED, STYLE, legend_above, named, new_panels, plain
from recpoison.report.measurements import Measurements
from recpoison.report.reading import BrokenArrays, read_arrays
from recpoison.report.runs import Runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ARRAYS = ("perplexities", "places", "cluster", "silhouette")


def draw_user_maps(runs: Runs, measurements: Measurements) -> dict[str, Figure]:
    """A figure for each dataset, model and attack of runs with ``evaluation=user_map``, by a name that suits a file.

    A cell of several seeds or settings is drawn once, at its first. A run whose ``ranks.npz`` was removed is left out.

    Raises:
        BrokenArrays: If a ``ranks.npz`` is broken.
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    mapped = [str(config.get("evaluation._target_", "")).endswith(".UserMap") for config in measurements.configs]
    frame = measurements.frame
    cells = frame[[mapped[run] for run in frame["run"]]].drop_duplicates(["dataset", "model", "attack", "defense"])
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        for cell in cells.itertuples():
            file = runs.runs[cell.run].folder / "ranks.npz"
            if not file.is_file():
                continue
            prefix = f"seed={cell.seed}/attack={cell.attack}/defense={cell.defense}"
            arrays = read_arrays(file, prefix, _ARRAYS)
            if not _fit(**arrays):
                raise BrokenArrays(file, f"holds arrays of {prefix} that do not fit each other")
            victim, name = (part.loc[cell.Index].replace("\n", ", ") for part in named(cells, ()))
            words = [cell.dataset, cell.model, *(part for part in (cell.attack, cell.defense) if part != "none")]
            drawn[f"user_map_{'_'.join(words)}".lower()] = user_map(f"{victim}, {name}, seed {cell.seed}", **arrays)
    return drawn


def user_map(
    title: str, perplexities: np.ndarray, places: np.ndarray, cluster: np.ndarray, silhouette: np.ndarray
) -> Figure:
    """A panel a perplexity: users in the grey of their cluster, centres as crosses.

    Args:
        title: Whose users.
        perplexities: ``(m,)``.
        places: ``(m, n_users + clusters, 2)``, users before centres.
        cluster: ``(n_users,)`` centre of each.
        silhouette: ``(1,)`` of the clusters among the embeddings.
    """
    figure, (panels,) = new_panels(1, len(places), width=3.0, height=3.0, same_y=False)
    n_users, n_centres = len(cluster), places.shape[1] - len(cluster)
    greys = np.linspace(0.35, 0.8, n_centres)[cluster]
    for perplexity, plane, axes in zip(perplexities, places, panels, strict=True):
        users, centres = plane[:n_users], plane[n_users:]
        axes.scatter(users[:, 0], users[:, 1], s=5, c=greys, cmap="gray", vmin=0, vmax=1, linewidths=0, label="users")
        axes.scatter(
            centres[:, 0],
            centres[:, 1],
            s=45,
            marker="X",
            color="#c06a1a",
            edgecolors="black",
            linewidths=0.6,
            label="centres",
        )
        axes.set_title(f"perplexity {plain(float(perplexity))}", fontsize="medium")
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
    figure.set_label(
        f"t-SNE of user embeddings ({title}) and the {n_centres} centres of K-means, which it places among them; "
        f"shades tell clusters apart; silhouette of the clusters {silhouette[0]:.2f} (1: apart, 0: one cloud)"
    )
    legend_above(figure, *panels)
    return figure


def _fit(perplexities: np.ndarray, places: np.ndarray, cluster: np.ndarray, silhouette: np.ndarray) -> bool:
    """Whether the arrays have the shapes and types that an evaluation writes."""
    if places.ndim != 3 or places.shape[::2] != (len(perplexities), 2) or silhouette.shape != (1,):
        return False
    n_centres = places.shape[1] - len(cluster)
    inside = cluster.dtype.kind in "iu" and n_centres > 0 and (cluster >= 0).all() and (cluster < n_centres).all()
    return bool(inside and np.isfinite(places).all())
