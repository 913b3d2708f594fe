"""Whether every item of the checklists has its proof or its reason, and the published page says so."""

from tests.matrix import CHAPTERS, PAGE, page, proofs, table


def test_every_item_is_proven_or_has_its_reason() -> None:
    items, elsewhere = set(table("items.csv")), set(table("items_not_here.csv"))
    proven = {proof.item for proof in proofs()}
    own = {item for item in proven if item[0] in CHAPTERS and item in items}
    assert sorted(items - own - elsewhere) == []
    assert sorted(own & elsewhere) == []
    assert all(proof.figure for proof in proofs())


def test_the_published_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.matrix`"
