"""Draw the bounds of APT's theorems 4.3 to 4.5: ``python scripts/tolerated_poison.py [FOLDER]`` (default: outputs)."""

import sys
from pathlib import Path

from recpoison.report.figures import as_files
from recpoison.report.tolerated_figure import draw_tolerated
from recpoison.report.writing import write_file


def main(arguments: list[str]) -> int:
    """Write ``tolerated_poison.png`` and ``.pdf``."""
    folder = Path(arguments[0] if arguments else "outputs")
    for name, content in as_files({"tolerated_poison": draw_tolerated()}).items():
        write_file(folder / name, content)
        print(f"written to {folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
