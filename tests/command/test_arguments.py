"""What is typed with dashes: known flags pass in argparse's order, the rest is answered in a sentence."""

import pytest

from recpoison.command.arguments import sort_arguments
from recpoison.errors import ConfigError


def test_a_line_is_sorted():
    line = sort_arguments(["seed=1", "-m", "model=mf", "--trust=mine"])
    assert (line.overrides, line.flags, line.trusted) == (["seed=1", "model=mf"], [("--multirun", "")], ["mine"])
    assert (line.runs, line.sweeping, line.composes) == (True, True, True)
    assert line.ordered == ["--multirun", "seed=1", "model=mf"]
    shown = sort_arguments(["--cfg", "job", "--resolve"])
    assert (shown.runs, shown.ordered) == (False, ["--cfg", "job", "--resolve"])
    assert sort_arguments(["-i", "seed=1"]).flags == [("--info", "all")]
    assert sort_arguments(["-i", "plugins"]).flags == [("--info", "plugins")]
    assert not sort_arguments(["-sc", "query=bash"]).composes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--multirun=true"], "--multirun takes no value: write --multirun alone"),
        (["--experimental-rerun", "x.pickle"], "it would unpickle a file, and recpoison unpickles nothing"),
        (["--config-name=mine"], "the root is recpoison's own: write a preset"),
        (["-cp", "mine"], "the root is recpoison's own: put options"),
        (["--resolve"], "--resolve is for --cfg"),
        (["--cfg", "zz"], "--cfg is 'zz': give job or hydra or all"),
        (["--cfg"], "--cfg is '': give job or hydra or all"),
        (["-m", "--cfg", "job"], "--cfg and --multirun ask for different things: keep one"),
        (["-m", "-m"], "--multirun is given twice: keep one"),
        (["--shell-completion"], "--shell-completion takes one word: install=bash"),
        (["-sc", "install=csh"], "--shell-completion takes one word: install=bash"),
        (["--attack", "average"], "settings have no dashes: write attack=average"),
        (["--seed=3"], "settings have no dashes: write seed=3"),
        (["--multrun"], "there is no such flag; did you mean --multirun?"),
        (["--trust"], "--trust needs the name of a package"),
        (["--trust=-"], "--trust needs the name of a package"),
    ],
)
def test_what_is_wrong_is_said(words, sentence):
    with pytest.raises(ConfigError) as refused:
        sort_arguments(words)
    assert sentence in str(refused.value)
