"""Moves a synthetic chart's dates with the calendar, so that "three weeks ago" is true on the day the demo is shown."""

import re
from datetime import date, timedelta
from typing import Any

_DATED_ENDINGS = ("Date", "DateTime", "Instant")
_DATED_NAMES = frozenset({"date", "issued", "start", "end", "authoredOn", "lastUpdated", "sent", "received", "created"})
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(T.*)?")


def moved(element: Any, days: int, name: str = "") -> Any:
    """A copy of a FHIR element (any JSON) with every date in it moved by whole days; a partial date stays partial."""
    if isinstance(element, dict):
        return {member: moved(value, days, member) for member, value in element.items()}
    if isinstance(element, list):
        return [moved(value, days, name) for value in element]
    if isinstance(element, str) and _is_dated(name):
        return _moved_date(element, days)
    return element


def _is_dated(name: str) -> bool:
    # By the element's name and not by its look: an identifier or a dose may also read "2024".
    return name in _DATED_NAMES or name.endswith(_DATED_ENDINGS)


def _moved_date(text: str, days: int) -> str:
    match = _DATE.fullmatch(text)
    if match is None:
        return text
    year, month, day, time = match.groups()
    # The middle of a partial date stands for it: small moves leave it as it is, large ones carry it along.
    then = date(int(year), int(month or 7), int(day or (15 if month else 1))) + timedelta(days)
    known = 10 if day else 7 if month else 4
    return then.isoformat()[:known] + (time or "")
