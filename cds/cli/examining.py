"""What `bedside doctor` looks for in an EHR's FHIR server, key set and clock, and how to mend what it does not find."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from cds.errors import DataUnavailable
from cds.features.feature import Need
from cds.fhir.http import Transport, fetch_bytes
from cds.ledger.clock import TOLERATED, UNREMARKED
from cds.trust.clients import FHIR_VERSIONS
from cds.trust.keys import UnusableKeys, read_keys
from cds.trust.urls import safe_url

SECONDS = 10.0
LARGEST = 16 * 1024 * 1024  # some CapabilityStatements are

Document = dict[str, Any]


class Finding(Struct, frozen=True):
    """One thing looked at. `fix` says what to do when it is not well; "warn" is no failure."""

    what: str
    outcome: Literal["pass", "warn", "fail"]
    said: str
    fix: str = ""


class Answered(Struct, frozen=True):
    """What a server said to one question: its JSON object, or why there is none, and how far its clock is ahead."""

    document: Document | None = None
    why: str = ""
    ahead: timedelta | None = None


async def ask(url: str, transport: Transport | None = None, accept: str = "application/json") -> Answered:
    before = datetime.now(UTC)
    try:
        status, body, headers = await fetch_bytes(
            url, limit=LARGEST, seconds=SECONDS, transport=transport, headers={"Accept": accept}
        )
    except DataUnavailable as error:
        return Answered(why=error.message)
    ahead = _ahead(headers, before, datetime.now(UTC))
    if status != 200:
        return Answered(why=f"the server answered {status}", ahead=ahead)
    try:
        return Answered(msgspec.json.decode(body, type=Document), ahead=ahead)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Answered(why="the answer is no JSON object", ahead=ahead)


def _ahead(headers: Mapping[str, str], before: datetime, after: datetime) -> timedelta | None:
    """The Date header tells whole seconds, cut off: within the call's time and that second nothing is known."""
    try:
        said = parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return None
    if said > after:
        return said - after
    return min(said + timedelta(seconds=1) - before, timedelta())


def reachable(base: str, answered: Answered) -> Iterator[Finding]:
    scheme = urlsplit(base).scheme
    if scheme != "https":
        fix = "patients' data travel readable: use https outside of a trial on this machine"
        yield Finding("https", "warn" if _safe(base) else "fail", "plain http", fix)
    if answered.ahead is None and answered.document is None:
        yield Finding("reachable", "fail", answered.why, "check the address, DNS, the firewall and the certificate")
    else:
        yield Finding("reachable", "pass", f"over {scheme}")


def capability(answered: Answered) -> Finding:
    document, fix = answered.document, "BASE/metadata must be readable without a token, as FHIR asks"
    if document is None:
        return Finding("metadata", "fail", answered.why, fix)
    if document.get("resourceType") != "CapabilityStatement":
        return Finding("metadata", "fail", "this is no CapabilityStatement", "give the FHIR base itself, as …/fhir/r4")
    version = str(document.get("fhirVersion"))
    if not version.startswith(tuple(f"{known}." for known in FHIR_VERSIONS)):
        return Finding("metadata", "fail", f"FHIR {version}", "give the base of R4 (4.0.1) or R4B (4.3.0)")
    return Finding("metadata", "pass", f"FHIR {version}")


def clock(ahead: timedelta | None) -> Finding:
    if ahead is None:
        return Finding("clock", "warn", "no Date header", "compare the clocks by hand: tokens live for minutes")
    seconds = abs(ahead).total_seconds()
    fix = "set this machine's clock and theirs by NTP: tokens are refused when the clocks differ"
    if abs(ahead) > UNREMARKED:
        return Finding("clock", "fail" if abs(ahead) > TOLERATED else "warn", f"differs by {seconds:.0f} s", fix)
    return Finding("clock", "pass", "agrees to within 5 s")


def smart(answered: Answered, *, wanted: bool) -> Iterator[Finding]:
    """The SMART configuration; what is missing fails only where a SMART app is registered."""
    worse: Literal["warn", "fail"] = "fail" if wanted else "warn"
    document = answered.document
    if document is None:
        fix = "BASE/.well-known/smart-configuration is needed for the SMART app; cards do without"
        yield Finding("smart-configuration", worse, answered.why, fix)
        return
    missing = [n for n in ("authorization_endpoint", "token_endpoint") if not _safe(document.get(n))]
    yield _listed("endpoints", missing, worse, "these must be https URLs in smart-configuration")
    able = _words(document, "capabilities")
    lacking = [name for name in ("launch-ehr", "context-ehr-patient") if name not in able]
    if not able & {"client-confidential-asymmetric", "client-public"}:
        lacking.append("client-confidential-asymmetric or client-public")
    yield _listed("capabilities", lacking, worse, "switch these on in the EHR's SMART settings")
    methods = _words(document, "code_challenge_methods_supported")
    yield _listed("PKCE", [] if "S256" in methods else ["S256"], worse, "the app always uses PKCE with S256")
    if offered := _words(document, "scopes_supported"):
        unknown = [scope for scope in ("launch", "openid", "fhirUser") if scope not in offered]
        yield _listed("scopes", unknown, worse, "the app asks for these: let its registration have them")
    else:
        yield Finding("scopes", "warn", "scopes_supported is not stated", "see at the first launch what is granted")


def _words(document: Document, name: str) -> set[str]:
    value = document.get(name)
    return {word for word in value if isinstance(word, str)} if isinstance(value, list) else set()


def _safe(url: object) -> bool:
    """Whether it is an https URL, or http on this machine itself."""
    try:
        return isinstance(url, str) and bool(safe_url(url))
    except ValueError:
        return False


def _listed(what: str, missing: list[str], worse: Literal["warn", "fail"], fix: str) -> Finding:
    return (
        Finding(what, worse, f"without {', '.join(missing)}", fix)
        if missing
        else Finding(what, "pass", "all that is used")
    )


def searches(document: Document, needs: Iterable[Need]) -> Iterator[Finding]:
    """For each type that the models read: may it be read or searched, by the parameters that our searches use?"""
    rest = [one for one in _tables(document, "rest") if one.get("mode") == "server"]
    stated = {str(kind.get("type")): kind for one in rest for kind in _tables(one, "resource")}
    common = {str(name.get("name")) for one in rest for name in _tables(one, "searchParam")}
    asked: dict[str, set[str]] = {}
    for need in needs:
        parameters = asked.setdefault(need.resource_type, set())
        if need.resource_type != "Patient":
            parameters |= {"patient"} | ({"code"} if need.codes else set()) | ({"date"} if need.count else set())
    for kind, parameters in asked.items():
        yield _search(kind, parameters, stated.get(kind), common)


def _search(kind: str, parameters: set[str], stated: Document | None, common: set[str]) -> Finding:
    what = f"{kind} {'read' if kind == 'Patient' else 'search'}"
    if stated is None:
        return Finding(what, "fail", f"{kind} is not served", f"open {kind} to this client: the models read it")
    interaction = "read" if kind == "Patient" else "search-type"
    if interaction not in {str(one.get("code")) for one in _tables(stated, "interaction")}:
        return Finding(what, "fail", f"no {interaction}", f"open {interaction} of {kind} to this client")
    known = {str(one.get("name")) for one in _tables(stated, "searchParam")} | common
    missing = sorted(parameters - known)
    if missing:
        fix = "prefetch can replace this search: have the EHR send every key of the discovery document"
        return Finding(what, "fail", f"without {', '.join(missing)}", fix)
    if "date" in parameters and not {"_sort", "_count"} <= known:
        return Finding(
            what, "pass", f"by {', '.join(sorted(parameters))}; _sort and _count are not stated, which is usual"
        )
    return Finding(what, "pass", f"by {', '.join(sorted(parameters))}" if parameters else "by id")


def export(document: Document) -> Finding:
    rest = _tables(document, "rest")
    places = [*rest, *(kind for one in rest for kind in _tables(one, "resource"))]
    operations = [operation for place in places for operation in _tables(place, "operation")]
    if any("export" in f"{one.get('name')} {one.get('definition')}" for one in operations):
        return Finding("$export", "pass", "stated")
    fix = "without it score files from another export with `bedside score`; cards do not need it"
    return Finding("$export", "warn", "not stated", fix)


def _tables(document: Document, name: str) -> list[Document]:
    value = document.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


async def keys(url: str, algorithms: Iterable[str], transport: Transport | None = None) -> Finding:
    """Whether a key set is there and holds a key for one of the client's algorithms."""
    wanted, fix = set(algorithms), "the EHR publishes its public keys as a JWK set under jwks_url"
    answered = await ask(url, transport)
    if answered.document is None:
        return Finding("keys", "fail", answered.why, fix)
    try:
        found = read_keys(msgspec.json.encode(answered.document))
    except UnusableKeys as fault:
        return Finding("keys", "fail", str(fault), fix)
    usable = sum(1 for key in found.values() if wanted & set(key.algorithms))
    if not usable:
        need = f"it needs a kid and fits {' or '.join(sorted(wanted))}: EC on P-384, or RSA from 2048 bits"
        return Finding("keys", "fail", f"none of {len(found)} can be used", need)
    return Finding("keys", "pass", f"{usable} usable")
