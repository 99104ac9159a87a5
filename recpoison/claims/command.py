"""``recpoison-verify``: does a claim hold here, and what does a run of one's own claim."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from recpoison.answering import answered
from recpoison.claims.claim import Claim, Verdict, claim_of, judge, read_claim
from recpoison.errors import ConfigError, UserError
from recpoison.nearest import did_you_mean, nearest

OURS = Path(__file__).parent / "ours"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; ``sys.argv`` where None.

    Returns:
        The exit code: 0 all claims hold, 1 one differs, 2 one cannot be run or the user's mistake, 130 after Ctrl-C.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as the command has it: see there
    typed = _parser().parse_args(arguments)
    return answered("recpoison-verify", lambda: _run(typed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recpoison-verify",
        description="Run a claim again and say whether its number holds (0), differs (1) or cannot be run (2).",
    )
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="a file, or the name of one of ours (see --list)")
    parser.add_argument("--list", action="store_true", help="list our own claims")
    parser.add_argument("--ours", action="store_true", help="verify all of our own")
    parser.add_argument(
        "--make", nargs=2, metavar=("RUN", "METRIC"), help="make a claim of a run, such as target.HR@50"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where --make writes (default: claim.json)")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE", help="whose classes a claim may name"
    )
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with YAML of your own that a claim names")
    return parser


def _run(typed: argparse.Namespace) -> int:
    asked = [bool(typed.claims) or typed.ours, typed.list, typed.make is not None]
    if sum(asked) != 1 or (typed.output and not typed.make):
        raise ConfigError("give claims to verify, or --ours, or --list, or --make RUN METRIC: one of them")
    if typed.make:
        _make(Path(typed.make[0]), typed.make[1], typed.output or Path("claim.json"))
        return 0
    if typed.list:
        for path in ours():
            print(f"{path.stem}: {read_claim(path).claim}")
        return 0
    flags = [f"--trust={package}" for package in typed.trust]
    flags += [f"--config-dir={typed.config_dir}"] if typed.config_dir else []
    worst = 0
    for path in [*map(_found, typed.claims), *(ours() if typed.ours else ())]:
        verdict = verify(read_claim(path), flags)
        print(f"{path.stem}: {verdict.said}", flush=True)
        worst = max(worst, verdict.code)
    return worst


def ours() -> list[Path]:
    """The claims that ship."""
    return sorted(OURS.glob("*.json"))


def verify(claim: Claim, flags: Sequence[str] = ()) -> Verdict:
    """Run a claim's command, all of it anew, and hold the claim against what it gives.

    Args:
        claim: The claim, which may be a stranger's: flags in its command are refused.
        flags: What the user says for it, such as ``--trust=mine``.
    """
    from recpoison import api

    try:
        if dashed := [text for text in claim.command if text.startswith("-")]:
            raise ConfigError(f"its command has {dashed[0]}, but flags are for you to give")
        result = api.run(*flags, *claim.command, "store_dir=null", quiet=True)
        if len(result.runs.runs) != 1:
            raise ConfigError("its command is a sweep: a claim is about one run")
        return judge(claim, result.runs.runs[0])
    except UserError as error:
        return Verdict(2, f"cannot be run: {error}")


def _make(folder: Path, metric: str, output: Path) -> None:
    from recpoison import api

    runs = api.load(folder).runs.runs
    if len(runs) != 1:
        raise ConfigError(f"{folder} holds {len(runs)} runs: name the folder of one")
    if output.exists():
        raise ConfigError(f"{output} is there already: name another file with --output")
    claim = claim_of(runs[0], metric)
    claim.write(output)
    print(f"{output}: {claim.claim}, from {claim.interval[0]:.6g} to {claim.interval[1]:.6g}")


def _found(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    known = {one.stem: one for one in ours()}
    if name in known:
        return known[name]
    raise ConfigError(f"{name}: there is no such file, nor such a claim of ours{did_you_mean(nearest(name, known))}")
