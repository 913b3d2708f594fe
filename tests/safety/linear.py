"""Finds in a regular expression what could take more than linear time: no clock is asked, only its structure."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from re import _constants as op  # re's own tree: there is no public one
from re import _parser as parser
from typing import Any

MANY = 64
"""A repetition that may go on for longer counts as one without end."""
EVERYTHING = frozenset(range(256))
SEARCHING = {"search", "sub", "subn", "findall", "finditer", "split"}
FUNCTIONS = SEARCHING | {"compile", "match", "fullmatch"}


@dataclass(frozen=True)
class Expression:
    """A regular expression of the source: where it stands, and whether it is tried at every place of a text."""

    place: str
    pattern: str | bytes | None
    searched: bool


def expressions(file: Path) -> Iterator[Expression]:
    """Every use of `re` in a module; a pattern that is no literal is None."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    searched = {
        node.func.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SEARCHING
        and isinstance(node.func.value, ast.Name)
    }
    named = {
        id(node.value): target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        of = node.func.value
        if isinstance(of, ast.Name) and of.id == "re" and node.func.attr in FUNCTIONS:
            pattern = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            text = pattern if isinstance(pattern, str | bytes) else None
            everywhere = node.func.attr in SEARCHING or named.get(id(node)) in searched
            yield Expression(f"{file.name}:{node.lineno}", text, everywhere)


def faults(pattern: str | bytes, *, searched: bool) -> list[str]:
    """What could take more than linear time in a pattern; nothing when it cannot."""
    items = list(parser.parse(pattern))
    found = [*_nested(items, within=False), *_beside(items)]
    if searched and items and (first := _endless(items[0])) is not None and len(items) > 1:
        found.append(f"begins with a repetition of {len(first)} letters and is tried at every place")
    return found


def _endless(item: Any) -> frozenset[int] | None:
    """The letters of a repetition without end that may give back what it took, or None."""
    kind, of = item
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT) and of[1] > MANY:
        return _letters(of[2])
    if kind is op.SUBPATTERN and len(of[3]) == 1:
        return _endless(of[3][0])
    return None


def _inner(item: Any) -> list[Sequence[Any]]:
    """The sequences within an item."""
    kind, of = item
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return [of[2]]
    if kind is op.SUBPATTERN:
        return [of[3]]
    if kind is op.BRANCH:
        return list(of[1])
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [of[1]]
    return [of] if kind is op.ATOMIC_GROUP else []


def _nested(items: Sequence[Any], *, within: bool) -> Iterator[str]:
    for item in items:
        if within and _endless(item) is not None:
            yield "a repetition within a repetition"
        again = item[0] in (op.MAX_REPEAT, op.MIN_REPEAT) and item[1][1] > 1
        for sequence in _inner(item):
            yield from _nested(sequence, within=within or again)


def _beside(items: Sequence[Any]) -> Iterator[str]:
    """Two repetitions that could share one run of letters, with nothing between them that must be something else."""
    flat = list(items)
    for at, item in enumerate(flat):
        for sequence in _inner(item):
            yield from _beside(list(sequence))
        letters = _endless(item)
        if letters is None:
            continue
        for later in flat[at + 1 :]:
            if any(letters & other for other in _all_endless(later)):
                yield "two repetitions of the same letters side by side"
            if _must(later) and not letters & _letters([later]):
                break


def _all_endless(item: Any) -> Iterator[frozenset[int]]:
    """Repetitions without end anywhere in an item, possessive ones too: the one before them may still give back."""
    kind, of = item
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT) and of[1] > MANY:
        yield _letters(of[2])
    for sequence in _inner(item):
        for inner in sequence:
            yield from _all_endless(inner)


def _must(item: Any) -> bool:
    """Whether an item takes at least one letter."""
    kind, of = item
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return bool(of[0]) and any(map(_must, of[2]))
    if kind is op.SUBPATTERN:
        return any(map(_must, of[3]))
    if kind is op.BRANCH:
        return all(any(map(_must, one)) for one in of[1])
    return kind in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY)


def _letters(items: Sequence[Any]) -> frozenset[int]:
    """Every letter (of the first 256) that stands somewhere in a sequence; more rather than fewer."""
    found: frozenset[int] = frozenset()
    for item in items:
        kind, of = item
        if kind is op.LITERAL:
            found |= {of}
        elif kind is op.NOT_LITERAL:
            found |= EVERYTHING - {of}
        elif kind is op.ANY:
            found = EVERYTHING
        elif kind is op.IN:
            found |= _class(of)
        else:
            for sequence in _inner(item):
                found |= _letters(sequence)
    return found


def _class(members: Sequence[Any]) -> frozenset[int]:
    found: set[int] = set()
    for kind, of in members:
        if kind is op.LITERAL:
            found.add(of)
        elif kind is op.RANGE:
            found |= set(range(of[0], of[1] + 1))
        elif kind is op.CATEGORY:
            found |= {n for n in range(256) if re.fullmatch(_CATEGORIES[of], chr(n))}
    return frozenset(EVERYTHING - found) if members[0][0] is op.NEGATE else frozenset(found)


_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
