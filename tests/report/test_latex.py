import re
import shutil
import subprocess
from pathlib import Path

import matplotlib
import pytest

from recpoison.report.comparisons import effect_table
from recpoison.report.latex import to_latex
from recpoison.report.measurements import measure
from recpoison.report.published import published
from recpoison.report.runs import read_runs
from recpoison.report.tables import Entry, Table, default_metrics, with_notes

PDFLATEX = shutil.which("pdflatex")
SIZES = {"small": (9, 1.028), "footnotesize": (8, 1.063)}  # points, and how much wider cmr9 and cmr8 are than cmr10
GROUPED = Table(
    "Effect of 50% & more",
    ("dataset",),
    (("ml_100k",), ("a|b",)),
    (("HR@50", "clean"), ("HR@50", "difference"), ("MeanRank", "clean")),
    (
        (Entry(0.15, 0.01, 2), Entry(0.2, n=2, p=0.004, signed=True, best=True), Entry(834.23, 1.26, 2)),
        (Entry(0.1234567, n=1), Entry(-0.05, n=1, p=0.2, signed=True), None),
    ),
    ("one seed each", "* p < 0.05"),
    told=("HR@50 rose.",),
)


def test_latex_exactly() -> None:
    assert to_latex(GROUPED).splitlines() == [
        "% HR@50 rose.",
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        r"\setlength{\tabcolsep}{3pt}",
        r"\caption{Effect of 50\% \& more}",
        r"\label{tab:effect-of-50-more}",
        r"\begin{tabular}{@{}lrrrr@{}}",
        r"\toprule",
        r"& \multicolumn{2}{c}{HR@50} & \multicolumn{1}{c}{MeanRank} \\",
        r"\cmidrule(lr){2-3}",
        r"\cmidrule(lr){4-4}",
        r"dataset & clean & difference & clean & n \\",
        r"\midrule",
        r"ml\_100k & $0.1500 \pm 0.0100$ & $\mathbf{+0.2000}^{**}$ & $834.2 \pm 1.3$ & 2 \\",
        r"a\textbar{}b & $0.1235$ & $-0.0500\phantom{^{**}}$ & -- & 1 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip",
        r"\parbox{\linewidth}{\footnotesize\raggedright One seed each. * p $<$ 0.05.}",
        r"\end{table}",
    ]


def afm(name: str) -> dict[str, float]:
    """Advance widths of a font in em, by the glyph's name, from the metrics that matplotlib ships."""
    file = Path(matplotlib.get_data_path()) / "fonts" / "afm" / name
    found = re.findall(r"C -?\d+ ; WX ([\d.]+) ; N (\w+)", file.read_text(encoding="latin-1"))
    return {glyph: float(width) / 1000 for width, glyph in found}


DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GLYPHS = {" ": "space", ".": "period", ",": "comma", ":": "colon", ";": "semicolon", "-": "hyphen", "/": "slash"}
GLYPHS |= {"@": "at", "%": "percent", "&": "ampersand", "=": "equal", "(": "parenleft", ")": "parenright"}
GLYPHS |= {"+": "plus", "*": "asterisk", "'": "quoteright", "_": "hyphen", "–": "endash", "−": "plus", "±": "plus"}
GLYPHS |= dict(zip("0123456789", DIGITS, strict=True))


def width_of_cell(source: str) -> float:
    """Em of what LaTeX sets for a cell: its widest line, mathematics with the spaces around a sign between numbers."""
    if found := re.search(r"\\parbox\[t\]\{(\d+)pt\}", source):
        return float(found[1]) / (8 * 1.063)  # wrapped text stands in footnotesize alone
    lines = re.sub(r"^\\shortstack\[.\]\{(.*)\}$", r"\1", source).split(r"\\")
    return max(width_of_line(line) for line in lines)


def width_of_line(line: str) -> float:
    widths = afm("cmr10.afm")
    spaces = 0.45 * line.count(r" \pm ") + sum(0.065 * len(bold) for bold in re.findall(r"bf\{([^}]*)\}", line))
    text = re.sub(r"\$([^$]*)\$", lambda found: found[1].replace("-", "−").replace(r"\pm", "±").replace(" ", ""), line)
    text = re.sub(r"\\(mathbf|textbf|emph|phantom|textbar|multicolumn\{\d+\}\{[^}]*\})|[{}^]", "", text)
    text = re.sub(r"\\([&%$#_])", r"\1", text).replace("--", "–")
    # the digits of cmbx8 are 0.06 em wider than those of cmr8
    return spaces + sum(widths[GLYPHS.get(sign, sign)] for sign in text)


def tabulars(latex: str) -> list[tuple[str, str]]:
    """The size and the inside of each table."""
    found = re.findall(r"\\centering\\(\w+).*?\\begin\{tabular\}\{[^\n]*\}\n(.*?)\\end\{tabular\}", latex, re.S)
    assert found
    return found


def width_of(size: str, inside: str) -> float:
    """Points of a table: the widest cell of each column, and 6 points between two."""
    points, wider = SIZES[size]
    widths: dict[int, float] = {}
    across = 0.0
    for line in inside.splitlines():
        if line.endswith(r" \\") and "multicolumn" not in line:
            for place, cell in enumerate(re.split(r"(?<!\\)&", line.removesuffix(r"\\"))):
                widths[place] = max(widths.get(place, 0.0), width_of_cell(cell.strip()))
        elif line.startswith(r"\multicolumn"):
            across = max(across, width_of_line(line.removesuffix(r"\\")))
    return max(points * wider * sum(widths.values()) + 6 * (len(widths) - 1), points * wider * across)


def fits(latex: str) -> None:
    room = 345 if r"\begin{table*}" in latex else 221
    for size, inside in tabulars(latex):
        assert width_of(size, inside) <= room + 2


def wide(n_groups: int, n_columns: int, n_keys: int = 2) -> Table:
    """A table of many columns, long names and long keys."""
    columns = tuple((f"target HR@{g}", f"bilevel_item_ae_{c}") for g in range(n_groups) for c in range(n_columns))
    rows = tuple((f"ml_{row // 3}m", *[f"needs model=pcmf attack={row}"] * (n_keys - 1)) for row in range(9))
    entry = Entry(0.123456, 0.012, 5, p=0.0001, best=True)
    return Table("Wide", ("dataset", *"abcdef"[: n_keys - 1]), rows, columns, ((entry,) * len(columns),) * 9, ("n",))


@pytest.mark.parametrize("size", [(1, 1, 2), (2, 3, 2), (1, 12, 2), (4, 5, 3), (2, 2, 5)], ids=str)
def test_a_table_of_any_size_is_no_wider_than_a_page(size: tuple[int, int, int]) -> None:
    latex = to_latex(wide(*size))
    fits(latex)
    assert latex.count("0.1235") == 9 * size[0] * size[1]  # nothing is left out


@pytest.mark.slow
def test_a_published_table_fits_pages_and_goes_on_with_labels_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = published("apt_table_2", []).tables[0]
    latex = to_latex(table)
    fits(latex)
    labels = re.findall(r"\\label\{(.*)\}", latex)
    assert len(set(labels)) == len(labels) > 1
    for _, inside in tabulars(latex):
        heads, rows = 3, sum(line.endswith(r" \\") + line.count(r"\newline") for line in inside.splitlines())
        assert heads + rows < 550 / 9.5
    assert sum(inside.count(" & 30 \\\\") for _, inside in tabulars(latex)) == sum(
        table.seeds(row) == "30" for row in range(len(table.rows))
    )


def test_equal_seeds_stand_in_the_note_and_rules_between_groups(sweep: Path, make_run, make_values) -> None:
    make_run(
        sweep / "4",
        "ml_100k",
        {("none", "none"): {s: make_values(0.1, 0.6) for s in (0, 1)}}
        | {("random", "none"): {s: make_values(0.3, 0.6) for s in (0, 1)}},
    )
    measurements = measure(read_runs([sweep]))
    latex = to_latex(effect_table(measurements, default_metrics(measurements)))
    assert "N = 2 in all rows" not in latex
    assert "n = 2 in all rows." in re.sub(r"\\allowbreak\{\}", "", latex)
    assert latex.count(r"\cmidrule{1-") == 2  # between the datasets, in the block of each metric
    assert latex.count(r"\parbox{\linewidth}") == 1


@pytest.mark.slow
@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex to compile with: Debian has it in texlive-latex-base")
@pytest.mark.parametrize("options", ["a4paper", "a4paper,twocolumn"])
def test_latex_compiles_and_nothing_is_too_wide(options: str, sweep: Path, tmp_path: Path, monkeypatch) -> None:
    runs = read_runs([sweep])
    measurements = measure(runs)
    tables = [with_notes(effect_table(measurements, default_metrics(measurements)), runs), wide(2, 3), wide(1, 12)]
    monkeypatch.chdir(tmp_path)
    tables += published("apt_table_2", []).tables
    inside = "\n".join(map(to_latex, tables))
    text = (
        f"\\documentclass[{options}]{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{inside}\\end{{document}}"
    )
    (tmp_path / "all.tex").write_text(text, encoding="utf-8")
    command = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-2000:]
    assert max((float(points) for points in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", said)), default=0.0) <= 2
    assert "Float too large" not in said
    assert "multiply defined" not in said
