"""What the YAML and the files alone show is told before anything heavy is imported, in the words of the whole check."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from recpoison.command.checking import locate
from recpoison.command.declared import of_class, of_source
from recpoison.command.understanding import understand
from recpoison.errors import ConfigError
from recpoison.paths import CONF_DIR

YAML = "".join(file.read_text() for file in CONF_DIR.rglob("*.yaml"))
SOURCES = set(re.findall(r"_target_: (recpoison\.[\w.]+)", YAML))


@pytest.mark.parametrize("target", sorted(SOURCES))
def test_a_source_says_what_its_class_says(target):
    read, imported = of_source(target), of_class(locate(target))
    assert (read.name, read.required, read.constants) == (imported.name, imported.required, imported.constants)
    assert read.fields.keys() == imported.fields.keys()
    told = {name: hint for name, hint in read.fields.items() if "typing.Any" not in str(hint)}
    assert told == {name: imported.fields[name] for name in told}


def test_there_are_sources_and_most_types_are_told():
    assert len(SOURCES) > 60
    hints = [hint for target in SOURCES for hint in of_source(target).fields.values()]
    assert sum(hint is Any for hint in hints) < len(hints) / 4


def test_what_is_no_class_of_this_package_is_not_told():
    assert of_source("recpoison.models.bprmf.Nothing") is None
    assert of_source("recpoison.nowhere.BPRMF") is None
    assert of_source("os.path.BPRMF") is None


SLIPS = [
    (["model=mff"], "model=mff: there is no such option; did you mean mf?"),
    (["model.foo=3"], "model.foo: model=wrmf has no such setting"),
    (["attack.outer.iterations=x"], "attack.outer.iterations is 'x', but it must be a whole number"),
    (["+attack.targets.x=1"], "attack.targets.x: there is no such setting"),
    (["attack=given"], "attack.path has no value: give it as attack.path=VALUE"),
    (["repeats=0"], "repeats is 0: give 1 or more"),
    (["trackers=[foo]"], "trackers has foo: there is no such tracker"),
    (["dataset=cora"], "model=wrmf works on interactions, but dataset=cora holds a graph: choose model=gcn"),
    (["dataset=gowalla"], "gowalla needs train.txt, which is not in "),
    (["dataset=cora", "model=gcn", "attack=none", "evaluation=node_accuracy"], "cora needs cora.npz, which is not"),
    (["dataset=csv", "dataset.path=nope.csv"], "there is no file nope.csv, here or in "),
    (["-m", "model=mf,mff", "seed=x"], "seed is x, but it must be a whole number"),
]
PROGRAM = """
import json, sys
from recpoison.train_attack_eval import main

for words in json.loads(sys.argv[1]):
    print(main(words), file=sys.stderr)
print(*sorted({"torch", "numba", "pandas", "scipy"} & sys.modules.keys()))
"""


def test_slips_are_told_without_anything_heavy(tmp_path):
    """Seen from outside, for this process has imported everything."""
    lines = [[f"data_dir={tmp_path}", *words] for words, _ in SLIPS]
    command = [sys.executable, "-c", PROGRAM, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, list(tmp_path.iterdir())) == ("\n", [])
    for (_, said), told in zip(SLIPS, re.split(r"^2\n", done.stderr, flags=re.MULTILINE), strict=False):
        assert said in told


def test_all_that_a_glance_shows_comes_at_once(tmp_path):
    words = ["dataset=gowalla", "attack=average", "attack.targets.count=few", "paired_test=sign"]
    with pytest.raises(ConfigError) as told:
        understand([*words, f"data_dir={tmp_path}"], False, [])
    assert [line.split(",")[0] for line in str(told.value).splitlines()] == [
        "paired_test is 'sign': choose one of t",
        "attack.targets.count is 'few'",
        "gowalla needs train.txt",
    ]


def test_settings_that_are_shown_need_no_files(tmp_path):
    assert understand(["dataset=gowalla", f"data_dir={tmp_path}"], False, [], runs=False).dataset.name == "gowalla"
