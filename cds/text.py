"""How dates and codes read for a person."""

from datetime import date, datetime


def day_text(when: datetime | date | None) -> str:
    """3 May 2021, or "(no date)"."""
    return f"{when.day} {when:%b %Y}" if when else "(no date)"


def slug(words: str) -> str:
    """A closed code from a closed phrase: "too old" -> "too-old"."""
    return words.replace(" ", "-")
