"""How dates, codes and a chart's own words read for a person, in plain text or in Markdown."""

import re
from collections.abc import Sequence
from datetime import date, datetime

_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~!&"})
_AUTOLINK = re.compile(r"://|www\.|mailto:|xmpp:|@", re.IGNORECASE)


def visible(text: str) -> str:
    """Text without what cannot be seen: line ends, control characters, and marks that turn the reading direction."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def plain(text: str) -> str:
    """Text from a chart made harmless in Markdown: no link, no image, no HTML, no table cell, no direction trick."""
    return _AUTOLINK.sub(" ", visible(text)[:200]).translate(_MARKDOWN)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub-flavoured Markdown table; cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def day_text(when: datetime | date | None) -> str:
    """3 May 2021, or "(no date)"."""
    return f"{when.day} {when:%b %Y}" if when else "(no date)"


def slug(words: str) -> str:
    """A closed code from a closed phrase: "too old" -> "too-old"."""
    return words.replace(" ", "-")
