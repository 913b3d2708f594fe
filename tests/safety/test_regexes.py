"""No regular expression of ours can be made to run for long by what somebody sends (R19)."""

from pathlib import Path

import pytest

from models._kidney.albuminuria import _BOUND_TEXT
from tests.safety.linear import Expression, expressions, faults

ROOT = Path(__file__).resolve().parents[2]
TRUSTED = {
    # Over the prefetch templates of the site's own code, when its models are tested; never over what is sent.
    r"\{\{\s*(.*?)\s*\}\}",
}


def found() -> list[Expression]:
    files = [file for package in ("cds", "hooks", "models") for file in sorted((ROOT / package).rglob("*.py"))]
    return [expression for file in files for expression in expressions(file)]


@pytest.mark.proves("R19", "every regular expression of cds, hooks and models is a literal and linear by its structure")
def test_r19_every_regular_expression_is_linear() -> None:
    ours = found()
    assert len(ours) >= 12
    assert [one.place for one in ours if one.pattern is None] == []
    wrong = [
        (one.place, one.pattern, faults(one.pattern, searched=one.searched))
        for one in ours
        if one.pattern is not None and one.pattern not in TRUSTED
    ]
    assert [row for row in wrong if row[2]] == []
    assert {one.pattern for one in ours} >= TRUSTED


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(?:a*b?)*c",
        r"(\w+\s?)*$",
        r"(a|a?)+b+b+",
        r"\s*(x)?\s*y",
        r"\s*(\S[^<>]{0,20})?\s*",
        r"\d+\.?\d+x",
        r".*=.*;",
        r"(.*?,){9}.*x",
        r"^\s+|\s+$|a\w*\d*b",
        rb"[a-z]*[a-f0-9]*!",
        r"\s*(?:x\s*+)?+\s*+$",
    ],
)
def test_r19_what_is_not_linear_is_seen(pattern: str | bytes) -> None:
    assert faults(pattern, searched=False)


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        (r"\d{4}-\d\d", True),
        (r"[A-Za-z]+\.[A-Za-z]+", False),
        (r"(?:ab){3}c*", True),
        (r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', True),
        (r"\s*+x\s*+", False),
    ],
)
def test_r19_what_is_linear_is_let_through(pattern: str, searched: bool) -> None:
    assert faults(pattern, searched=searched) == []


def test_r19_a_repetition_in_front_is_quadratic_only_where_it_is_searched_for() -> None:
    assert faults(r"\s+x", searched=True)
    assert not faults(r"\s+x", searched=False)


@pytest.mark.proves("R19", "a laboratory's text of 1,000,000 blanks is read at once")
@pytest.mark.parametrize("text", ["<3" + " " * 1_000_000 + "<<", " " * 1_000_000, "<3 a" + " " * 1_000_000 + "<"])
def test_r19_a_result_of_blanks_is_read_at_once(text: str) -> None:
    assert _BOUND_TEXT.fullmatch(text) is None  # took hours when the blanks before and after a unit could change places
