"""A small file of fake users for ``attack=given``."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp


@cache
def given_file() -> str:
    """Three fake users of five items, item 59 among them, which is the target."""
    file = Path(mkdtemp()) / "fakes.json"
    fakes = {f"fake_{n}": [n, n + 10, n + 20, n + 30, 59] for n in range(3)}
    file.write_text(json.dumps({"target_items": [59], "fake_users": fakes}))
    return str(file)
