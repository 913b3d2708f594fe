"""Fills one patient's chart from prefetch, and from the EHR's FHIR server where prefetch is silent."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct, field

from cds.cdshooks.wire import Call
from cds.errors import DataUnavailable, TokenRejected, UnreadableResource, WrongPatient
from cds.features.feature import Need
from cds.features.needs import search
from cds.features.results import COUNTED
from cds.fhir.chart import Chart, Located
from cds.fhir.client import FhirClient, Transport, next_link
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity, subject_of, subjects_of
from cds.fhir.origins import same_base
from cds.fhir.policy import Policy
from cds.fhir.resources import Resource
from cds.fhir.servers import Servers
from cds.fhir.times import when


class Reach(Struct, frozen=True):
    """What a site lets Bedside read: from which FHIR bases, how long, over which transport (None: the network).

    `policy` says which records are not answered (None: all are); `servers` is what all calls share about these
    servers: connections, breakers, places. Whoever serves keeps the connections: `async with reach.servers`.
    """

    fhir_servers: frozenset[str] = frozenset()
    seconds: float = 5.0
    transport: Transport | None = None
    policy: Policy | None = None
    servers: Servers = field(default_factory=Servers)

    def registered(self, fhir_server: str | None) -> str | None:
        """The registered FHIR base that a call's fhirServer names, or None: nothing else is ever asked."""
        return next((base for base in self.fhir_servers if fhir_server and same_base(fhir_server, base)), None)


class Filled(Struct, frozen=True):
    """A chart, for which keys the FHIR server was asked, and why a key could not be had."""

    chart: Chart
    fetched: tuple[str, ...]
    failed: Mapping[str, str] = {}

    def require(self, needs: Iterable[Need]) -> None:
        """Raises DataUnavailable (412) when one that is required could not be had."""
        _require(needs, self.failed)


async def fill(call: Call, needs: Sequence[Need], vocabulary: Vocabulary, reach: Reach) -> Filled:
    """Build the chart of the call's patient.

    Raises DataUnavailable (412) naming the required keys that could be had neither from prefetch nor by fetching,
    WrongPatient (412) when anything in prefetch or fetched is about somebody else or is of another server than the
    registered one, and NotForUse (412) when the policy of the reach refuses the record.
    """
    if call.authorization and call.authorization.patient not in (None, call.patient_id):
        raise WrongPatient(
            "fhirAuthorization.patient is not context.patientId", expressions=("fhirAuthorization.patient",)
        )
    pages: dict[str, list[Resource]] = {}
    to_fetch: dict[str, list[Resource]] = {}
    failed: dict[str, str] = {}
    for need in needs:
        if need.key not in call.prefetch:
            to_fetch[need.key] = []
        elif (fault := _fault(value := call.prefetch[need.key], need) or _short((value,), need)) is not None:
            failed[need.key] = fault
        elif value is not None and not _suffices(value, need):
            to_fetch[need.key] = [value]
        else:
            pages[need.key] = [value] if value is not None else []
    why = cannot_fetch(call, reach) if to_fetch else None
    if why is not None:
        failed |= {
            key: f"{'incomplete' if page else 'absent'} in prefetch, and {why}" for key, page in to_fetch.items()
        }
        to_fetch = {}
    fetched = await _fetch(call, needs, to_fetch, vocabulary, reach, failed) if to_fetch else {}
    _require(needs, failed)
    found = [page for need in needs for page in (pages | fetched).get(need.key, ())]
    located = [pair for page in found for pair in located_in(page)]
    identity = Identity(call.patient_id, _bases(call, reach))
    chart = Chart.of(located, identity, vocabulary, failed, reach.policy, call.context.encounter_id)
    if reach.policy is not None:
        reach.policy.check([page for page in found if page.resource_type == "Bundle"])
    _check_others(call, {need.key for need in needs}, identity)
    return Filled(chart, tuple(to_fetch), failed)


def _require(needs: Iterable[Need], failed: Mapping[str, str]) -> None:
    required = {need.key for need in needs if need.required}
    if unavailable := sorted(required & failed.keys()):
        said = "; ".join(f"{key}: {failed[key]}" for key in unavailable)
        raise DataUnavailable(f"needed data is not available: {said}", unavailable)


def _bases(call: Call, reach: Reach) -> set[str]:
    """The FHIR bases whose ids are this patient's. Raises WrongPatient for another server than a registered one."""
    if call.fhir_server is None:
        return set(reach.fhir_servers)
    if reach.fhir_servers and reach.registered(call.fhir_server) is None:
        raise WrongPatient(
            "fhirServer is not the registered one: whose ids these are is not known", expressions=("fhirServer",)
        )
    return {*reach.fhir_servers, call.fhir_server}


def located_in(value: Resource) -> Iterable[Located]:
    """A resource, or a Bundle's resources with their fullUrl; search outcomes are left out."""
    if value.resource_type != "Bundle":
        return ((value, None),)
    return [
        (entry.resource, entry.full_url)
        for entry in value.entry or ()
        if entry.resource is not None and entry.resource.resource_type != "OperationOutcome"
    ]


def _fault(value: Resource | None, need: Need) -> str | None:
    """Why a prefetch value counts as failed, or None: what cannot be read whole is not "none"."""
    if value is None:
        return "there is no Patient" if need.resource_type == "Patient" else None
    if value.resource_type == "OperationOutcome":
        return NOT_FETCHED if _severe(value.issue) else "an OperationOutcome stands in its place"
    if value.resource_type == "Bundle":
        return _bundle_fault(value)
    return None if value.resource_type == need.resource_type else f"a {need.resource_type} or a Bundle is expected"


NOT_FETCHED = "the EHR could not fetch it"


def _bundle_fault(bundle: Resource) -> str | None:
    for entry in bundle.entry or ():
        kind = entry.resource.resource_type if entry.resource else None
        if entry.resource is None:
            return "an entry has no resource"
        if kind == "Bundle":
            return "a Bundle stands within the Bundle"
        if kind == "OperationOutcome" and _severe(entry.resource.issue):
            return NOT_FETCHED
    if any(link.relation == "next" and not link.url for link in bundle.link or ()):
        return "the link to its next page has no address"
    return None


def _short(pages: Sequence[Resource | None], need: Need) -> str | None:
    """Whether the pages, to the last, hold less than the search says it found."""
    first, last = pages[0], pages[-1]
    if first is None or last is None:
        return None
    held = sum(len(page.entry or ()) for page in pages if page)
    whole = need.series or need.count is None or not held
    found = first.total if isinstance(first.total, int) else 0
    if whole and found > held and next_link(last) is None:
        return "its total is more than it holds"
    return None


def _severe(issues: Any) -> bool:
    """Whether an outcome says more than a warning; one that does not say how severe it is, does."""
    found = [i.get("severity") for i in issues if isinstance(i, dict)] if isinstance(issues, list) else []
    return not found or any(severity not in ("warning", "information") for severity in found)


def _suffices(value: Resource, need: Need) -> bool:
    """Whether a page is all that is needed: the last one, or the first of a latest value that is sorted as asked."""
    if next_link(value) is None:
        return True
    return not need.series and need.count is not None and _newest_first(value)


def _newest_first(value: Resource) -> bool:
    """Whether every result has its time, in descending order, and one of them counts: then no older one is needed."""
    moments, counts = [], False
    for resource, _ in located_in(value):
        period = resource.effective_period
        text = resource.effective_date_time or resource.effective_instant or (period.end if period else None)
        moment = when(text) if text else None
        if moment is None:
            return False
        moments.append(moment.last)
        counts = counts or resource.status in COUNTED
    return counts and all(a >= b for a, b in pairwise(moments))


def _check_others(call: Call, asked: set[str], identity: Identity) -> None:
    """Keys that nobody asked for are ignored, but a resource about somebody else is not let in under any key."""
    for key, value in call.prefetch.items():
        if key in asked or value is None:
            continue
        for resource, full_url in located_in(value):
            subject = subject_of(resource)
            if (subject is not None and subject.reference) or resource.resource_type == "Patient":
                identity.check(resource, full_url)
    for resource, _ in call.context.proposed:  # a draft may not name anybody yet, but never somebody else
        if subjects_of(resource) or resource.resource_type == "Patient":
            identity.check(resource)


async def _fetch(
    call: Call,
    needs: Sequence[Need],
    to_fetch: dict[str, list[Resource]],
    vocabulary: Vocabulary,
    reach: Reach,
    failed: dict[str, str],
) -> dict[str, list[Resource]]:
    """Fetch the keys side by side; what fails goes into `failed` with its reason."""
    base = reach.registered(call.fhir_server) or ""
    token, seconds = None, reach.seconds
    if call.authorization:
        token, seconds = call.authorization.access_token, min(seconds, call.authorization.expires_in)
    deadline = time.monotonic() + seconds
    by_key = {need.key: need for need in needs}
    server = reach.servers.of(base, reach.transport)
    async with FhirClient(base, token, deadline, server=server) as client:

        async def one(need: Need, pages: list[Resource]) -> list[Resource]:
            try:
                found = pages or await client.first_page(search(need, vocabulary, call.patient_id))
                if not _suffices(found[0], need):
                    found = await client.follow(list(found))
            except TokenRejected as error:
                # Nothing else can be read with it either, and whoever can renew it must hear of it.
                raise TokenRejected(f"needed data is not available: {need.key}: {error.message}", (need.key,)) from None
            except (DataUnavailable, TimeoutError, UnreadableResource) as error:
                failed[need.key] = getattr(error, "message", "the FHIR server took too long")
                return []
            faults = (*(_fault(page, need) for page in found), _short(found, need))
            if (fault := next(filter(None, faults), None)) is not None:
                failed[need.key] = fault
            return found

        granted = {key: pages for key, pages in to_fetch.items() if _granted(call, by_key[key], failed)}
        answers = await asyncio.gather(*(one(by_key[key], pages) for key, pages in granted.items()))
    return {key: pages for key, pages in zip(granted, answers, strict=True) if key not in failed}


def _granted(call: Call, need: Need, failed: dict[str, str]) -> bool:
    if call.authorization is None or covers(call.authorization.scope, need.resource_type):
        return True
    failed[need.key] = f"the access token's scope has no {need.resource_type}"
    return False


def cannot_fetch(call: Call, reach: Reach) -> str | None:
    """Why nothing may be fetched for this call, or None."""
    if not call.fhir_server:
        return "no fhirServer was sent"
    if reach.registered(call.fhir_server) is None:
        return "fhirServer is not one of this site's FHIR servers"
    if call.authorization and call.authorization.expires_in <= 0:
        return "the access token has expired"
    return None


_CLINICAL = ("patient/", "user/", "system/")


def covers(scope: str, resource_type: str) -> bool:
    """Whether SMART scopes let a type be read whole; where none names any type, the server decides.

    A grant with a filter (`?category=…`) hides what lies outside it: what we then do not see is not absent.
    """
    granted = [one.partition("/")[2].rpartition(".") for one in scope.split() if one.startswith(_CLINICAL)]
    return not granted or any(
        kind in ("*", resource_type) and _reads(rights, resource_type) for kind, _, rights in granted
    )


def _reads(rights: str, resource_type: str) -> bool:
    """SMART 1 writes `read`, SMART 2 the letters of create, read, update, delete and search."""
    if rights in ("read", "*"):
        return True
    return set(rights) <= set("cruds") and "r" in rights and ("s" in rights or resource_type == "Patient")
