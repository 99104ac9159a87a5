"""The name somebody may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The word of ``known`` most like ``name``, if one is close."""
    words = {word.lower(): word for word in known}
    found = get_close_matches(name.lower(), words, n=1, cutoff=0.6)
    return words[found[0]] if found else None


def nearest_path(path: str, known: Iterable[str]) -> str | None:
    """The dotted setting of ``known`` most like ``path``.

    The same last name elsewhere wins (``model.epochs`` means ``model.trainer.epochs``), first in the same group; then a
    like name beside it, then one in the same group; anywhere where there is
    no such group.
    """
    paths = [p for p in known if p != path]
    parent, _, leaf = path.rpartition(".")
    group = path.split(".")[0]
    inside = [p for p in paths if p.startswith(f"{group}.")]
    beside = [p for p in paths if p.rpartition(".")[0] == parent]
    for pool in (inside, paths):
        same = [p for p in pool if p.rpartition(".")[2] == leaf]
        if same:
            return min(same, key=len)
    for pool in (beside, inside) if inside else (paths,):
        leaves = {p.rpartition(".")[2]: p for p in sorted(pool, key=len, reverse=True)}
        found = nearest(leaf, leaves)
        if found:
            return leaves[found]
    return None


def did_you_mean(found: str | None) -> str:
    """The end of a sentence about a name that does not exist."""
    return f"; did you mean {found}?" if found else ""
