"""The hooks of the CDS Hooks library that services may hear, and what each requires of its context."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from cds.cdshooks.drafts import Draft, drafts_of, names_in, resources_in
from cds.errors import MalformedRequest
from cds.fhir.chart import Located
from cds.fhir.identity import FHIR_ID, split
from cds.fhir.resources import unreadable


class _Members(Struct, gc=False, frozen=True, rename="camel"):
    """What every hook's context may name."""

    user_id: str | None = None
    patient_id: str | None = None
    encounter_id: str | None = None


class Context(Struct, frozen=True):
    """Members of any hook's context that a service reads.

    `proposed` are the resources of draftOrders or appointments: what is not in the record yet.
    """

    user_id: str | None = None
    patient_id: str | None = None
    encounter_id: str | None = None
    proposed: tuple[Located, ...] = ()
    selections: frozenset[str] | None = None
    """The names of the drafts that were selected just now, "MedicationRequest/m1" or a fullUrl; None for all."""

    @property
    def drafts(self) -> tuple[Draft, ...]:
        """The orders to look at: of order-select the selected ones, of order-sign all."""
        every = tuple(drafts_of(self.proposed))
        return every if self.selections is None else tuple(d for d in every if d.names & self.selections)


class HookContext(Struct, frozen=True):
    """What the hook's own page requires of its context."""

    required: tuple[str, ...]
    users: frozenset[str]
    kinds: dict[str, Callable[[Any], bool]] = {}


def _bundle(value: Any) -> bool:
    return isinstance(value, dict) and value.get("resourceType") == "Bundle"


_STAFF = frozenset({"Practitioner", "PractitionerRole"})
_ANYONE = _STAFF | {"Patient", "RelatedPerson"}
HOOKS: dict[str, HookContext] = {
    "patient-view": HookContext(("userId", "patientId"), _ANYONE),
    "encounter-start": HookContext(("userId", "patientId", "encounterId"), _STAFF),
    "encounter-discharge": HookContext(("userId", "patientId", "encounterId"), _STAFF),
    "problem-list-item-create": HookContext(
        ("userId", "patientId", "conditions"), _STAFF, {"conditions": _bundle}
    ),
    "order-sign": HookContext(("userId", "patientId", "draftOrders"), _STAFF, {"draftOrders": _bundle}),
    "order-select": HookContext(
        ("userId", "patientId", "selections", "draftOrders"),
        _STAFF,
        {"draftOrders": _bundle, "selections": lambda v: isinstance(v, list)},
    ),
    "appointment-book": HookContext(("userId", "patientId", "appointments"), _ANYONE, {"appointments": _bundle}),
}  # fmt: skip
HOOK_VERSIONS = dict.fromkeys(HOOKS, "1.0") | {"problem-list-item-create": "0.1.0"}


_decoder = msgspec.json.Decoder(_Members)


def read_context(raw: bytes, hook: str, lenient: bool) -> Context:
    """A hook's context from its JSON. Raises MalformedRequest (400) that names the member."""
    if raw in (b"", b"null"):
        raise MalformedRequest("context is required", "context")
    try:
        named, members = _decoder.decode(raw), HOOKS[hook]
        context = Context(named.user_id, named.patient_id, named.encounter_id)
        if members.kinds or (b"null" in raw and not lenient):
            values = msgspec.json.decode(raw)
            _check_kinds(values, members, lenient)
            context = _with_proposed(context, values, members, lenient)
    except msgspec.ValidationError as fault:
        at = unreadable(fault)
        path = f"context.{at.path}" if at.path else "context"
        raise MalformedRequest(f"{path}: {at.message}", path) from None
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRequest("context cannot be read", "context") from None
    given = {"userId": context.user_id, "patientId": context.patient_id, "encounterId": context.encounter_id}
    for member in members.required:
        if member in given and not given[member]:
            raise MalformedRequest(f"context.{member} is required for {hook}", f"context.{member}")
    _check_ids(context, members)
    return context


def _with_proposed(context: Context, values: dict[str, Any], members: HookContext, lenient: bool) -> Context:
    name = next((name for name in ("draftOrders", "appointments") if name in members.kinds), None)
    if name is None:
        return context
    proposed = resources_in(values[name], name, lenient)
    chosen = _selected(values["selections"], values[name], lenient) if "selections" in members.kinds else None
    return msgspec.structs.replace(context, proposed=proposed, selections=chosen)


def _selected(selections: list[Any], bundle: dict[str, Any], lenient: bool) -> frozenset[str] | None:
    """The names of what was selected; where one of them means no draft, nobody knows what was: `lenient` takes all.

    Raises MalformedRequest for a selection that is no text, or that names no entry of draftOrders.
    """
    entries = names_in(bundle)
    chosen = [{one, split(one)[1]} & entries if isinstance(one, str) else frozenset[str]() for one in selections]
    if all(chosen):
        return frozenset[str]().union(*chosen)
    if lenient:
        return None
    path = f"context.selections[{next(n for n, names in enumerate(chosen) if not names)}]"
    raise MalformedRequest(f"{path} names no resource of draftOrders", path)


def _check_kinds(values: dict[str, Any], members: HookContext, lenient: bool) -> None:
    if not lenient and values.get("encounterId", "") is None:
        raise MalformedRequest("context.encounterId is null: leave it out", "context.encounterId")
    for member, fits in members.kinds.items():
        if member not in values:
            raise MalformedRequest(f"context.{member} is required", f"context.{member}")
        if not fits(values[member]):
            raise MalformedRequest(f"context.{member} is not of its type", f"context.{member}")


def _check_ids(context: Context, members: HookContext) -> None:
    kind, _, user = (context.user_id or "").partition("/")
    if context.user_id and (kind not in members.users or not FHIR_ID.fullmatch(user)):
        raise MalformedRequest("context.userId is [ResourceType]/[id] of a user of this hook", "context.userId")
    for member, value in (("patientId", context.patient_id), ("encounterId", context.encounter_id)):
        if value and not FHIR_ID.fullmatch(value):
            raise MalformedRequest(f"context.{member} is not a FHIR id", f"context.{member}")
