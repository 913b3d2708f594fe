"""The one table from causes to HTTP: which status an error has, and the OperationOutcome that goes with it."""

from typing import Any

import msgspec

from cds import errors

_TABLE: tuple[tuple[type[errors.BedsideError], int, str], ...] = (
    (errors.RequestTooLarge, 413, "too-long"),
    (errors.UnsupportedMedia, 415, "not-supported"),
    (errors.UnknownService, 404, "not-found"),
    (errors.MalformedRequest, 400, "invalid"),
    (errors.RequestError, 400, "invalid"),
    (errors.WrongPatient, 412, "conflict"),
    (errors.NotForUse, 412, "business-rule"),
    (errors.DataUnavailable, 412, "incomplete"),
    (errors.UnreadableResource, 400, "structure"),
    (errors.TooManyCalls, 429, "throttled"),
    (errors.LedgerUnavailable, 503, "transient"),
    (errors.Overloaded, 503, "throttled"),
)
_OURS = (500, "exception")
_INTERNAL = "The risk could not be calculated: internal error."


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for whatever is not in the table."""
    return _row(error)[0]


def operation_outcome(error: Exception, correlation: str = "") -> dict[str, Any]:
    """A FHIR OperationOutcome. A fault of ours says only that there was one, and under which id it was logged."""
    status, code = _row(error)
    text = error.message if isinstance(error, errors.BedsideError) and status != 500 else _INTERNAL
    issue: dict[str, Any] = {
        "severity": "error",
        "code": code,
        "details": {"text": text},
    }
    if expressions := _expressions(error):
        issue["expression"] = expressions
    if correlation:
        issue["diagnostics"] = f"correlation id {correlation}"
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def body_of(error: Exception, correlation: str = "") -> bytes:
    return msgspec.json.encode(operation_outcome(error, correlation))


def _row(error: Exception) -> tuple[int, str]:
    return next(((status, code) for kind, status, code in _TABLE if isinstance(error, kind)), _OURS)


def _expressions(error: Exception) -> list[str]:
    if isinstance(error, errors.DataUnavailable):
        return [*(f"prefetch.{key}" for key in error.keys), *error.expressions]
    expression = getattr(error, "expression", None)
    return [expression] if expression else []
