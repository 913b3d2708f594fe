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

    `since` and `as_of` are instants as they were written: what changed after the one, up to the other. `surely`: this
    was asked for; somebody else who began an export may have asked for something else.
    """

    types: tuple[str, ...]
    codes: Mapping[str, tuple[str, ...]] = {}
    since: str | None = None
    narrowed: tuple[str, ...] = ()
    as_of: str | None = None
    surely: bool = True


class Request(Struct, frozen=True):
    """The request as `bedside export` records it: the operation's parameters, and the codes among its filters."""

    parameters: tuple[tuple[str, str], ...] = ()
    codes: Mapping[str, tuple[str, ...]] = {}

    def end(self, transaction_time: str | None) -> str | None:
        """Up to when all is told: the server's transactionTime, or the `_until` that was asked for if it is earlier."""
        until = next((value for name, value in self.parameters if name == "_until"), None)
        return until if until is not None and _known(until) < _known(transaction_time) else transaction_time

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

    One of which nobody knows what it was asked for may hold the rest. `changes`: a run before holds it.
    """
    nights = [one.since for one in asked if one is not None and one.since]
    if nights and len(nights) == len(asked) and not changes:
        raise RequestError(
            f"this export holds only what changed since {nights[0]}: give --prior, the --out of the run before, "
            "or export everything"
        )
    if (known := _all_known(asked)) is None:
        return
    needs = tuple(needs)
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


def _all_known(asked: Sequence[Asked | None]) -> list[Asked] | None:
    """None where nobody knows what one of them was asked for."""
    known = [one for one in asked if one is not None and one.surely]
    return known if known and len(known) == len(asked) else None


def refuse_gap(asked: Sequence[Asked | None], before: str | None = None, *, alone: bool = True) -> None:
    """Raises RequestError when changes of a type begin later than all that they follow ends.

    `before`: up to when a run before tells all, unless these are `alone`. Where an end is not known, nobody can say.
    """
    known = _all_known(asked)
    if known is None or (not alone and _instant(before) is None):
        return
    for kind in _kinds(known):
        if any(_instant(one.as_of) is None for one in known if not one.since and kind in one.types):
            continue
        reached = max(_first_whole(known, kind), before, key=_latest)
        for one in sorted((one for one in known if one.since and kind in one.types), key=lambda one: _known(one.since)):
            if _instant(reached) is None or _instant(one.since) is None:
                break
            if _known(one.since) > _known(reached):
                raise RequestError(
                    f"this export tells what changed since {one.since}, and all before it is as of {reached}: what "
                    f"changed of {kind} in between is in neither. Score the export in between first, or export "
                    f"--since {reached}"
                )
            reached = max(reached, one.as_of, key=_known)


def as_of(asked: Sequence[Asked | None]) -> str | None:
    """Up to when exports without a gap together tell all, of every type; None where that is not known."""
    known = _all_known(asked)
    if known is None:
        return None
    ends = [max((_first_whole(known, kind), *_nights(known, kind)), key=_latest) for kind in _kinds(known)]
    return min(ends, key=_latest) if all(map(_instant, ends)) else None


def later(one: str | None, other: str | None) -> str | None:
    """The later of two instants; of one that is none, the other."""
    return max(one, other, key=_latest)


def _kinds(known: Sequence[Asked]) -> list[str]:
    return list(dict.fromkeys(kind for one in known for kind in one.types))


def _nights(known: Sequence[Asked], kind: str) -> list[str | None]:
    return [one.as_of for one in known if one.since and kind in one.types]


def _first_whole(known: Sequence[Asked], kind: str) -> str | None:
    """When the earliest whole export of a type ends, for another may be of other patients; None where there is none."""
    return min((one.as_of for one in known if not one.since and kind in one.types), key=_latest, default=None)


def _known(text: str | None) -> datetime:
    """What is no instant comes last."""
    return _instant(text) or datetime.max.replace(tzinfo=UTC)


def _latest(text: str | None) -> datetime:
    """What is no instant comes first."""
    return _instant(text) or datetime.min.replace(tzinfo=UTC)


def _instant(text: str | None) -> datetime | None:
    """None for what is no instant: a server's time without its offset is another one everywhere."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
