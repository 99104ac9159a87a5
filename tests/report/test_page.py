import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from recpoison.evaluation.questions import Metric
from recpoison.report.comparisons import effect_table
from recpoison.report.figures import draw_all
from recpoison.report.measurements import measure
from recpoison.report.page import to_html
from recpoison.report.runs import read_runs
from recpoison.report.tables import default_metrics, with_notes

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture
def page(sweep: Path) -> str:
    (sweep / "4").mkdir()
    (sweep / "4" / "status.json").write_text(json.dumps({"status": "failed", "reason": "out of <memory>"}))
    (sweep / "4" / "overrides.yaml").write_text("- attack=segment\n")
    runs = read_runs([sweep])
    measurements = measure(runs)
    table = effect_table(measurements, default_metrics(measurements))
    return to_html(runs, [with_notes(table, runs)], draw_all(measurements, [Metric("target", "HR", 50)]))


class Rows(HTMLParser):
    """Every table row of a page as the texts of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def test_the_page_tells_results_costs_commands_and_failures(page: str) -> None:
    rows = Rows(page).rows
    assert ["random", "0.1500 ± 0.0707", "0.3500 ± 0.2121", "+0.2000", *rows[2][4:]] == rows[2]
    assert ["average", "0.1500 ± 0.0707", "0.6500 ± 0.2121", "+0.5000", *rows[3][4:]] == rows[3]
    costs = next(row for row in rows if row[2:4] == ["none/none", "fit"])
    assert costs == ["filmtrust", "bprmf", "none/none", "fit", "2.50", "10.0", "300", "4", "0"]
    commands = [row[-1] for row in rows if row[-1].startswith("recpoison ")]
    assert "recpoison dataset=filmtrust attack=average seed=1" in commands
    failed = next(row for row in rows if "attack=segment" in row)
    assert failed[2] == "out of <memory>"
    assert ["ties", "against"] in rows


def test_of_a_second_protocol_only_what_differs_is_told(sweep: Path) -> None:
    about = json.loads((sweep / "0" / "run.json").read_text())
    other = about | {"protocol": about["protocol"] | {"ties": "half", "epoch": "last"}}
    (sweep / "0" / "run.json").write_text(json.dumps(other))
    page = to_html(read_runs([sweep]), [], {})
    rows = Rows(page).rows
    candidates = next(row for row in rows if row[0] == "candidates")
    assert rows[rows.index(candidates) :][:5] == [
        candidates,
        ["ties", "half"],
        ["epoch", "last"],
        ["rule", "value"],
        ["ties", "against"],
    ]
    assert ["epoch", "–"] in rows  # the first run's rule, which the others do not have
    assert "Others (bprmf): the same, but" in page


def test_a_job_of_a_sweep_has_its_own_command(sweep: Path) -> None:
    about = json.loads((sweep / "0" / "run.json").read_text())
    (sweep / "0" / "run.json").write_text(
        json.dumps(about | {"command": "recpoison -m attack=random,average seed=0,1"})
    )
    commands = [row[-1] for row in Rows(to_html(read_runs([sweep / "0"]), [], {})).rows]
    assert "recpoison dataset=filmtrust attack=random seed=0" in commands


def test_the_page_is_complete_in_itself(page: str) -> None:
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert page.count("data:image/svg+xml;base64,") == 1
    assert "prefers-color-scheme: dark" in page


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium to render the page with")
def test_chromium_renders_the_page(page: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    (tmp_path / "page.html").write_text(page)
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--window-size=1100,1500",
    ]
    shot = tmp_path / "page.png"
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"]
    subprocess.run([*command, (tmp_path / "page.html").as_uri()], check=True, capture_output=True, timeout=120)
    picture = imread(shot)[..., :3]
    assert picture.shape[:2] == (1500, 1100)
    assert (picture.min(axis=2) < 0.3).mean() > 0.005  # ink: an empty or failed page has none
    # the blue of the second bar stands only in the figures: the embedded pictures were drawn
    assert (abs(picture - [0x4C / 255, 0x78 / 255, 0xA8 / 255]).max(axis=2) < 0.02).sum() > 500


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium to render the page with")
def test_the_page_is_no_wider_than_a_narrow_window(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    frame = '<iframe id=f src="page.html" style="width: 400px; height: 900px; border: 0"></iframe>'
    ask = "onload = () => document.title = f.contentDocument.documentElement.scrollWidth"
    (tmp_path / "frame.html").write_text(f"<title></title>{frame}<script>{ask}</script>")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--dump-dom",
        "--hide-scrollbars",
    ]
    flags += ["--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [CHROMIUM, *flags, (tmp_path / "frame.html").as_uri()]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert "<title>400</title>" in shown
