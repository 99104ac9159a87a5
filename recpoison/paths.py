"""Where the YAML files are: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

from recpoison.errors import ConfigError

ROOT_CONFIG = "train_attack_eval"
_PACKAGE = Path(__file__).resolve().parent


def _find(candidates: tuple[Path, ...]) -> Path:
    for folder in candidates:
        if (folder / f"{ROOT_CONFIG}.yaml").is_file():
            return folder
    looked = " nor in ".join(map(str, candidates))
    raise ConfigError(f"the YAML files of recpoison are not in {looked}: install recpoison again")


def first_comment(file: Path) -> str:
    """What a YAML says of itself in its first comment, after ``# @package`` where it has that."""
    with file.open(encoding="utf-8") as lines:
        said = (line.removeprefix("#").strip() for line in lines)
        return next((line for line in said if not line.startswith("@")), "")  # Hydra reads @package at the top only


CONF_DIR = _find((_PACKAGE / "conf", _PACKAGE.parent / "conf"))
# What presets cost where we ran them.
MEASURED = _PACKAGE / "sweeps" / "measured.yaml"
ROSTER = "sweep.json"  # in the folder of a sweep: its cells in the order typed
