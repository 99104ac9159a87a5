"""What one override says as text: its values, and what is wrong with it before anything is composed."""

from __future__ import annotations

from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString
from hydra.errors import HydraException
from yaml import MarkedYAMLError  # type: ignore[import-untyped]
from yaml.reader import ReaderError  # type: ignore[import-untyped]

from recpoison.paths import ROOT_CONFIG

_EXTRAS = {  # what brings an option that Hydra itself lacks
    ("hydra/launcher", "joblib"): "joblib",
    ("hydra/launcher", "submitit_local"): "slurm",
    ("hydra/launcher", "submitit_slurm"): "slurm",
    ("hydra/launcher", "ray"): "ray",
    ("hydra/sweeper", "optuna"): "optuna",
}

_COMPOSING = "raised while composing config:"


def names_options(override: Override) -> bool:
    """Whether a group gets names, or null, as Hydra takes them."""
    value = override.value()
    if isinstance(value, list):
        return all(isinstance(name, (str, QuotedString)) for name in value)
    return not isinstance(value, dict)


def unreadable(text: str, error: Exception) -> str:
    """What is wrong with an override as text, in our words where the slip is a common one."""
    key, equals, value = text.partition("=")
    if not equals:
        return f"{text!r} has no =: write it as NAME=VALUE"
    if key != key.strip() or not value.strip():
        return (
            f"{text!r}: a space stands before the =, or nothing behind it: write NAME=VALUE, or NAME=null for no value"
        )
    if value.endswith(","):
        return f"{text!r} ends with a comma: drop it, or name another value"
    if not isinstance(error, HydraException):
        return f"{text}: {str(error).splitlines()[0]}"
    why = str(error).splitlines()[0].replace(f"Error parsing override '{text}'", "").partition(" expecting")[0]
    lines = str(error).splitlines()
    why = why.strip() or (lines[1].partition(" expecting")[0] if len(lines) > 1 else type(error).__name__)
    return f"{text!r} cannot be read ({why}): write key=value, and quote special characters"


def texts_of(override: Override) -> list[str]:
    """One override string a value; of an interval its beginning."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    value = override.value()
    if isinstance(value, IntervalSweep):  # endless: a sweeper that searches picks from it
        return [f"{override.get_key_element()}={value.start}"]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def said_of(error: BaseException) -> str:
    """What Hydra, OmegaConf or a YAML reader says of a configuration, in a line; of a file, with its line."""
    if isinstance(error, RecursionError):
        return "a value is nested too deep: write it flatter"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return (
            f"{mark.name}, line {mark.line + 1} is no YAML ({_plain(error.problem or error.context)}): mend that line"
        )
    if isinstance(error, ReaderError):
        return f"{error.name} is no YAML ({error.reason} at place {error.position}): take that character out"
    if isinstance(error, UnicodeDecodeError):
        return (
            f"its file is no UTF-8 text (byte {error.object[error.start]:#x} at place {error.start}): save it as UTF-8"
        )
    lines = str(error).splitlines() or [type(error).__name__]
    if len(lines) > 1 and lines[0].endswith(_COMPOSING):  # the reason is in the line after
        lines = [f"{lines[0].partition(': ')[0]}: {lines[1]}"]
    return lines[0].removeprefix(f"In '{ROOT_CONFIG}': ")


def _plain(problem: str | None) -> str:
    return (problem or "unknown").replace("character '\\t'", "a tab")


def in_swept_group(error: Exception) -> str:
    """A way out where Hydra tries a setting on the default of a group whose options are swept."""
    if not str(error).startswith("Could not override"):
        return ""
    return (
        " The options of its group are swept, so write its value as choice(VALUE), such as attack.epsilon=choice(0.5)"
    )


def not_installed(group: str, option: str) -> str:
    """What brings an option that the machine lacks; empty where no extra of ours does."""
    extra = _EXTRAS.get((group, option))
    return f"this {group.partition('/')[2]} is not installed: pip install 'recpoison[{extra}]'" if extra else ""
