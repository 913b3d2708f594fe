"""Whether every item of the checklist that applies has a test named after it."""

import re
from pathlib import Path

from tests.cdshooks.not_here import NOT_HERE

TESTS = Path(__file__).resolve().parent.parent
ITEMS = {*range(1, 97), *range(106, 115)}  # 97 to 105 are the client's JWT


def test_every_item_is_tested_or_has_its_reason() -> None:
    folders = [TESTS / name for name in ("cdshooks", "web", "hooks")]
    sources = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("test_*.py"))
    tested = {int(number) for number in re.findall(r"def test_c(\d+)_", sources)}
    assert tested & NOT_HERE.keys() == set()
    assert sorted(ITEMS - tested - NOT_HERE.keys()) == []
    assert sorted(tested - ITEMS) == []
