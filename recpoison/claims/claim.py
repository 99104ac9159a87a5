"""What a claim is, how one is made of a run, and whether it holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from recpoison.command.cells import NO_EFFECT
from recpoison.command.objective import seeds_of
from recpoison.errors import DataError

# What another processor may change of a number by rounding alone: this much, or this share of a number above 1.
_ROUNDING = 0.02


class Ran(Protocol):
    """A run: its metrics, what was typed, and what its ``run.json`` says."""

    @property
    def metrics(self) -> pd.DataFrame:
        """Rows as in ``metrics.csv``."""

    @property
    def overrides(self) -> Sequence[str]:
        """What was typed."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What ``run.json`` holds."""


@dataclass(frozen=True)
class Claim:
    """A number that a command gives.

    Args:
        claim: It in a sentence.
        command: The words after ``recpoison``.
        metric: Which number of the run, such as ``target.HR@50``: of its own attack and defense.
        expected: What it was, as a mean over seeds.
        interval: Its lowest and highest value for the claim to hold.
        data: Fingerprint of the data of each seed, split as they were.
        versions: Of what the run was made with.
    """

    claim: str
    command: list[str]
    metric: str
    expected: float
    interval: list[float]
    data: dict[str, str]
    versions: dict[str, str | None]

    def write(self, path: Path) -> None:
        """Write it as JSON; a file that is there already stays.

        Raises:
            OSError: If that cannot be written.
        """
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True)
class Verdict:
    """What came of verifying.

    Args:
        code: 0 it holds, 1 it differs, 2 it cannot be run.
        said: In words.
    """

    code: int
    said: str


def read_claim(path: Path) -> Claim:
    """Read a claim.

    Raises:
        DataError: If the file is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as a claim ({error}): make one with recpoison-verify --make") from error
    names = [field.name for field in fields(Claim)]
    if not isinstance(content, dict) or (lost := [name for name in names if name not in content]):
        missing = lost[0] if isinstance(content, dict) else names[0]
        raise DataError(f"{path} is no claim: it has no {missing}; make one with recpoison-verify --make")
    for name, fits in _FITS.items():
        if not fits(content[name]):
            raise DataError(
                f"{path}: {name} is {content[name]!r}, which no claim has; make it with recpoison-verify --make"
            )
    low, high = content["interval"]
    if not low <= content["expected"] <= high:
        raise DataError(
            f"{path}: expected is {content['expected']:.6g}, outside of its own interval from {low:.6g} to {high:.6g}; "
            "make it with recpoison-verify --make"
        )
    return Claim(**{name: content[name] for name in names})


def claim_of(run: Ran, metric: str) -> Claim:
    """The claim that a run supports: its mean over seeds, give or take what other processors change by rounding.

    It is about the run's own seeds, so that a spread over seeds has no say. Settings that cannot change a number
    (folders, threads, trackers) are left out of the command.

    Raises:
        ConfigError: If the run has no such number.
        DataError: If it does not say what its data were.
    """
    values = seeds_of(metric, run.metrics)
    data = _fingerprints(run)
    expected = float(values.mean())
    reach = _ROUNDING * max(1.0, abs(expected))
    command = [text for text in run.overrides if text.lstrip("+~").partition("=")[0].split(".")[0] not in NO_EFFECT]
    first = run.metrics.iloc[-1]
    sentence = f"{metric} of {first.model} on {first.dataset} under attack {first.attack}, defense {first.defense}"
    versions = {str(name): version for name, version in dict(run.about.get("versions") or {}).items()}
    seeds = f"{len(values)} seed{'' if len(values) == 1 else 's'}"
    return Claim(
        f"{sentence}, is {expected:.4g} ({seeds})",
        [text for text in command if not text.startswith("hydra")],
        metric,
        expected,
        [expected - reach, expected + reach],
        data,
        versions,
    )


def judge(claim: Claim, run: Ran) -> Verdict:
    """Hold a claim against a run of its command.

    Raises:
        ConfigError: If the run has no such number.
        DataError: If it does not say what its data were.
    """
    found = _fingerprints(run)
    if found != claim.data:
        changed = sorted(seed for seed in {**found, **claim.data} if found.get(seed) != claim.data.get(seed))
        return Verdict(2, f"cannot be run: the data of seed {changed[0]} are not those of the claim")
    value = float(seeds_of(claim.metric, run.metrics).mean())
    low, high = claim.interval
    where = f"{claim.metric} is {value:.6g}, claimed {claim.expected:.6g}, from {low:.6g} to {high:.6g}"
    if low <= value <= high:
        return Verdict(0, f"holds: {where}")
    now = dict(run.about.get("versions") or {})
    other = [f"{name} {now.get(name)}, then {then}" for name, then in claim.versions.items() if now.get(name) != then]
    return Verdict(1, f"differs: {where}{f' ({chr(59).join(other)})' if other else ''}")


def _fingerprints(run: Ran) -> dict[str, str]:
    data = run.about.get("data")
    if not isinstance(data, Mapping) or not all(isinstance(f, Mapping) and "fingerprint" in f for f in data.values()):
        raise DataError("the run's run.json has no fingerprint of its data: run it again")
    return {str(seed): str(facts["fingerprint"]) for seed, facts in data.items()}


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]  # whole numbers may be too long


def _words(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str | None) for text in value.values())


_FITS: dict[str, Callable[[Any], bool]] = {
    "claim": lambda value: isinstance(value, str),
    "command": _texts,
    "metric": lambda value: isinstance(value, str),
    "expected": _number,
    "interval": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_number, value)),
    "data": _words,
    "versions": _words,
}
