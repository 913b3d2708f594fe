"""What an export was asked for, held against what is to be scored from it: what was not asked for is not absent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from cds.errors import RequestError
from cds.features.feature import Need
from cds.features.needs import bulk_codes, bulk_types
from cds.fhir.codes import Vocabulary

_NARROWS = ("_typeFilter", "_elements", "_until")


class Asked(Struct, frozen=True):
    """`codes`: search tokens by the type that was asked for by its codes; `narrowed`: parameters of the user's own.

    `since` and `as_of` are instants as they were written: what changed after the one, up to the other.
    """

    types: tuple[str, ...]
    codes: Mapping[str, tuple[str, ...]] = {}
    since: str | None = None
    narrowed: tuple[str, ...] = ()
    as_of: str | None = None


class Request(Struct, frozen=True):
    """The request as `bedside export` records it: the operation's parameters, and the codes among its filters."""

    parameters: tuple[tuple[str, str], ...] = ()
    codes: Mapping[str, tuple[str, ...]] = {}

    def asked(self) -> Asked | None:
        """None where nothing is said of types."""
        types = tuple(one for name, value in self.parameters if name == "_type" for one in value.split(","))
        since = next((value for name, value in self.parameters if name == "_since"), None)
        narrowed = [
            f"{name}={value}"
            for name, values in self.parameters
            if name in _NARROWS
            for value in (values.split(",") if name == "_typeFilter" else [values])
            if value.partition("?")[0] not in self.codes
        ]
        return Asked(types, self.codes, since, tuple(dict.fromkeys(narrowed))) if types else None


def refuse_unasked(
    asked: Sequence[Asked | None], needs: Iterable[Need], vocabulary: Vocabulary, *, changes: bool = False
) -> None:
    """Raises RequestError when exports together were not asked for all that models read.

    One of None, of which nobody knows what it was asked for, may hold the rest. `changes`: a run before holds it.
    """
    known = [one for one in asked if one is not None]
    if len(known) < len(asked) or not known:
        return
    needs = tuple(needs)
    if not changes and all(one.since for one in known):
        raise RequestError(
            f"this export holds only what changed since {known[0].since}: give --prior, the --out of the run before, "
            "or export everything"
        )
    if lacking := [kind for kind in bulk_types(needs) if not any(kind in one.types for one in known)]:
        raise RequestError(f"this export was not asked for {', '.join(lacking)}, which these models read: {_AGAIN}")
    for kind, tokens in bulk_codes(needs, vocabulary).items():
        if _unasked(kind, tokens, known):
            raise RequestError(
                f"this export was asked for some codes of {kind}, and these models read others: {_AGAIN}"
            )


_AGAIN = "what was not asked for is not absent. Export again with the same --models as here"


def _unasked(kind: str, tokens: tuple[str, ...] | None, known: Sequence[Asked]) -> bool:
    """Whether a type was asked for by code in each export, and codes that are read are in none; None: all are read."""
    holding = [one for one in known if kind in one.types]
    if not all(kind in one.codes for one in holding):
        return False
    return tokens is None or not {code for one in holding for code in one.codes[kind]}.issuperset(tokens)


def refuse_gap(asked: Sequence[Asked | None], before: str | None) -> None:
    """Raises RequestError when changes begin later than the data end that they follow; `before`: the run before's end.

    Where an end or a beginning is not known, nobody can say.
    """
    known = [one for one in asked if one is not None]
    wholes = [one.as_of for one in known if not one.since]
    reached = before if before is not None else _first(wholes) if len(known) == len(asked) else None
    for one in sorted((one for one in known if one.since and _instant(one.since)), key=_since):
        if (end := _instant(reached)) is None:
            return
        if _since(one) > end:
            raise RequestError(
                f"this export tells what changed since {one.since}, and all before it is as of {reached}: what changed "
                f"in between is in neither. Score the export in between first, or export --since {reached}"
            )
        ends = _instant(one.as_of)
        reached = one.as_of if ends is None or ends > end else reached


def as_of(asked: Sequence[Asked | None]) -> str | None:
    """Up to when exports together tell all: of whole ones the earliest end, and then as far as changes go on."""
    known = [one for one in asked if one is not None]
    ends = [one.as_of for one in known if one.since] or [_first([one.as_of for one in known])]
    return max((end for end in ends if _instant(end)), key=_since_text, default=None)


def _first(ends: Sequence[str | None]) -> str | None:
    """The earliest; None where one is not known."""
    return min(ends, key=_since_text) if ends and all(map(_instant, ends)) else None


def _since(one: Asked) -> datetime:
    return _since_text(one.since)


def _since_text(text: str | None) -> datetime:
    return _instant(text) or datetime.max.replace(tzinfo=UTC)


def _instant(text: str | None) -> datetime | None:
    """None for what is no instant: a server's time without its offset is another one everywhere."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
