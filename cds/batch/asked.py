"""What an export was asked for, held against what is to be scored from it: what was not asked for is not absent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from cds.errors import RequestError
from cds.features.feature import Need
from cds.features.needs import bulk_codes, bulk_types
from cds.fhir.codes import Vocabulary

_NARROWS = ("_typeFilter", "_elements", "_until")


class Asked(Struct, frozen=True):
    """`codes`: search tokens by the type that was asked for by its codes; `narrowed`: parameters of the user's own."""

    types: tuple[str, ...]
    codes: Mapping[str, tuple[str, ...]] = {}
    since: str | None = None
    narrowed: tuple[str, ...] = ()


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
            for name, value in self.parameters
            if name in _NARROWS and value.partition("?")[0] not in self.codes
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
    """Raises RequestError when changes begin later than the data of the run before end; `before`: as of when they are.

    Where either is not known, nobody can say.
    """
    since = [one.since for one in asked if one is not None and one.since]
    if before is None or not since or len(since) < len(asked):
        return
    if min(map(_instant, since)) > _instant(before):
        raise RequestError(
            f"this export tells what changed since {min(since)}, and the run before is of an export as of {before}: "
            f"what changed in between is in neither. Score the export in between first, or export --since {before}"
        )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
