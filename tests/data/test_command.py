import subprocess
import sys
from pathlib import Path

import pytest

from recpoison.data import command
from recpoison.data.command import main
from recpoison.data.named import build_dataset, dataset_files
from recpoison.data.sources import SOURCES


def test_list_names_every_dataset_and_imports_nothing_heavy(tmp_path: Path):
    program = (
        "import sys; from recpoison.data.command import main; code = main(['list']); "
        "heavy = {'torch', 'pandas', 'scipy', 'hydra', 'pooch'} & set(sys.modules); "
        "print('heavy:', sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    for name in (*dataset_files(), *SOURCES):
        assert f"\n{name} " in done.stdout


def test_every_yaml_opens_with_a_sentence_and_builds():
    for name, path in dataset_files().items():
        first = path.read_text().splitlines()[0]
        assert first.startswith("# ")
        overrides = ("path=x.csv",) if name == "csv" else ()
        assert build_dataset(name, overrides).name == name


def test_describe(capsys: pytest.CaptureFixture[str]):
    assert main(["describe", "planted", "dataset.n_users=10"]) == 0
    printed = capsys.readouterr().out
    assert "planted: implicit" in printed
    row = next(line for line in printed.splitlines() if "n_rows" in line)
    assert row.split()[1:] == ["50", "50", "40", "10"]


@pytest.mark.data
def test_describe_cora(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["describe", "cora", "--data-dir", str(data_dir)]) == 0
    assert "2,485 nodes, 5,069 edges, 7 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "plantd"], "there is no dataset 'plantd': did you mean planted?"),
        (["describe", "planted", "n_user=3"], "did you mean n_users?"),
        (["describe", "planted", "n_users=many"], "dataset.n_users is 'many', but its default is 200"),
        (["describe", "csv"], "csv needs dataset.path"),
        (["describe", "ml_100k"], "recpoison-data fetch ml_100k"),
        (["fetch", "planted"], "there is nothing to fetch for 'planted'"),
        (["fetch", "netflix"], "netflix cannot be fetched"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([*arguments, "--data-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 130), (RuntimeError, 1)])
def test_other_exit_codes(
    raised: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(command, "_list", fail)
    assert main(["list"]) == code
    assert capsys.readouterr().err
