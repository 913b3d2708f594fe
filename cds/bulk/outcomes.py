"""Reads what a server says went wrong: codes that may be kept, and words that may name a patient and are only shown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cds.text import visible

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHOWN = 500
SEVERITIES = ("fatal", "error", "warning", "information")


class Issue(Struct, frozen=True):
    """One issue of an OperationOutcome. `text` is the server's own and never kept."""

    severity: str
    code: str
    codings: tuple[str, ...] = ()
    text: str = ""


def read_issues(body: bytes) -> tuple[Issue, ...]:
    """The issues of an OperationOutcome; none when the body is something else."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    if not isinstance(found, dict) or found.get("resourceType") != "OperationOutcome":
        return ()
    return tuple(_issue(one) for one in _list(found.get("issue")) if isinstance(one, dict))


def _issue(said: dict[str, Any]) -> Issue:
    found = said.get("details")
    details = found if isinstance(found, dict) else {}
    codings = [one.get("code") for one in _list(details.get("coding")) if isinstance(one, dict)]
    words = [one for one in (details.get("text"), said.get("diagnostics")) if isinstance(one, str) and one.strip()]
    severity = said.get("severity")
    return Issue(
        severity if isinstance(severity, str) and severity in SEVERITIES else "error",
        _code(said.get("code")),
        tuple(filter(None, map(_code, codings))),
        visible("; ".join(words))[:_SHOWN],
    )


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _code(value: object) -> str:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""


def may_pass(status: int, issues: Iterable[Issue]) -> bool:
    """Whether to ask again: after a 429, after a 5xx that is all transient, and after one that a gateway gave."""
    found = tuple(issues)
    if status == 429:
        return True
    return status >= 500 and all(issue.code in _TRANSIENT for issue in found)


_TRANSIENT = frozenset({"transient", "lock-error", "no-store", "timeout", "incomplete", "throttled"})
"""`transient` of IssueType and the codes below it. `exception` stands below it too, but says that it broke."""


def in_codes(issues: Iterable[Issue]) -> str:
    """What may be kept and printed anywhere: " (error/processing MSG_ID)", or nothing."""
    told = ["/".join(filter(None, (one.severity, one.code))) + "".join(f" {c}" for c in one.codings) for one in issues]
    return f" ({'; '.join(dict.fromkeys(told[:5]))})" if told else ""


def in_words(issues: Iterable[Issue]) -> str:
    """The server's own text, for the terminal alone."""
    return "; ".join(filter(None, (one.text for one in issues)))[:_SHOWN]
