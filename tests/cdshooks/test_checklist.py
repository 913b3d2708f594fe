"""Whether every item of the checklist that applies has a test named after it."""

import re
from pathlib import Path

from tests.cdshooks.not_here import NOT_HERE

TESTS = Path(__file__).resolve().parent.parent
ITEMS = set(range(1, 115))


def test_every_item_is_tested_or_has_its_reason() -> None:
    folders = [TESTS / name for name in ("cdshooks", "web", "hooks", "trust")]
    sources = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("test_*.py"))
    tested = {int(number) for number in re.findall(r"(?<=_)c(\d+)_", "".join(re.findall(r"def (test_\w+)", sources)))}
    assert tested & NOT_HERE.keys() == set()
    assert sorted(ITEMS - tested - NOT_HERE.keys()) == []
    assert sorted(tested - ITEMS) == []
