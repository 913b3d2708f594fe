"""Whatever arrives where strangers' bytes are first read, it is read or refused, and nothing else happens (R20)."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cds.cdshooks.feedback import read_feedback
from cds.cdshooks.wire import read_call
from cds.errors import MalformedRequest, RequestTooLarge, UnreadableResource
from cds.features.labs import LAB_CODES
from cds.fhir.codes import Vocabulary
from cds.fhir.facts import Fact, facts_of
from cds.fhir.resources import read_leniently
from cds.fhir.times import when
from cds.fhir.units import analytes
from cds.trust.compact import take_apart
from cds.trust.refused import NotTrusted
from models._kidney.albuminuria import _BOUND_TEXT
from tests.cdshooks.charts import AT, kidney, request
from tests.trust.ehr import token

QUIET: dict[str, Any] = {
    "suppress_health_check": list(HealthCheck),
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
}
VOCABULARY = Vocabulary(LAB_CODES.values())
CALL = json.dumps(
    request() | {"prefetch": {f"k{n}": one for n, one in enumerate(kidney())}}, separators=(",", ":")
).encode()
HOOKS = frozenset({"patient-view"})

words = st.text(max_size=12) | st.sampled_from(["mg/dL", "mg/g", "<", ">=", "final", "2026-11-01", "2160-0", "", " "])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
anything = st.recursive(
    scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(words, of, max_size=3), max_leaves=6
)
dates = st.from_regex(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?)?)?", fullmatch=True)

WORDS = [
    "mg/dL",
    "mg/g",
    "<",
    ">=",
    "final",
    "2160-0",
    "9318-7",
    "http://loinc.org",
    "",
    " ",
    "\u202e",
    "é" * 40,
    "1e999",
]
TIMES = ["2026-11-01", "2026", "2026-13", "2026-11-01T10:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60Z"]
TYPES = ["Observation", "Condition", "Procedure", "Encounter", "MedicationRequest", "Patient", "Bundle", "X"]


def value(random: Random, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = random.randrange(8 if depth else 6)
    if kind == 6:
        return [value(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == 7:
        return {random.choice(WORDS): value(random, depth - 1) for _ in range(random.randrange(4))}
    number = random.choice([0, -1, 2**63 - 1, -(2**70), 1e308, 5e-324, -0.0, random.uniform(-1e3, 1e3)])
    return [None, True, number, random.choice(WORDS), random.choice(TIMES), str(number)][kind]


def some(random: Random, **members: Callable[[], Any]) -> dict[str, Any]:
    """Some of the members, each as it should be or, now and then, as anything."""
    chosen = [name for name in members if random.random() < 0.6]
    return {name: members[name]() if random.random() < 0.9 else value(random) for name in chosen}


def resource(random: Random) -> dict[str, Any]:
    def word() -> str:
        return random.choice(WORDS)

    def time() -> str:
        return random.choice(TIMES)

    def concept() -> Any:
        return {"coding": [some(random, system=word, code=word) for _ in range(random.randrange(3))]}

    def known() -> Any:
        return {"coding": [{"system": "http://loinc.org", "code": random.choice(["2160-0", "9318-7"])}]}

    def quantity() -> Any:
        return some(random, value=lambda: random.uniform(-10, 1e4), unit=word, code=word, comparator=word)

    def period() -> Any:
        return some(random, start=time, end=time)

    def part() -> Any:
        return some(random, code=known, valueQuantity=quantity, valueString=word, dataAbsentReason=concept)

    made = some(
        random, id=word, status=word, code=known, valueQuantity=quantity, valueString=word, effectiveDateTime=time,
        effectivePeriod=period, onsetDateTime=time, performedPeriod=period, issued=time, clinicalStatus=concept,
        category=concept, period=period, component=lambda: [part() for _ in range(random.randrange(3))],
        medicationCodeableConcept=concept, type=lambda: [concept()],
    )  # fmt: skip
    made |= {random.choice(["class", "valueInteger", "focus", "extension", "contained", "link"]): value(random)}
    return made | {"resourceType": random.choice(TYPES)}


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R20", "100,000 generated resources in make proof (5,000 in make test): facts, or refused by name")
def test_r20_any_resource_becomes_facts_or_is_refused(campaign: Callable[[int], int]) -> None:
    became, said = {"facts": 0, "refused": 0}, set[str]()

    @settings(max_examples=campaign(100_000), **QUIET)
    @given(st.integers(0, 2**64))
    def holds(seed: int) -> None:
        try:
            found = facts_of(read_leniently(resource(Random(seed))), VOCABULARY)
        except UnreadableResource as error:
            became["refused"] += 1
            said.add(error.message)
            return
        became["facts"] += bool(found)
        for name, fact in found:
            assert name in VOCABULARY.sets
            assert isinstance(fact, Fact)
            assert fact.value is None or fact.value == fact.value

    holds()
    assert max(map(len, said)) < 200
    assert min(became.values()) > campaign(100_000) // 20


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R20", "100,000 generated dates, units and texts in make proof (5,000 in make test): read, or None")
def test_r20_any_date_unit_or_text_is_read_or_none(campaign: Callable[[int], int]) -> None:
    known = list(analytes().values())

    @settings(max_examples=campaign(100_000), **QUIET)
    @given(st.sampled_from(known), words | dates | st.text(), words | st.none())
    def holds(analyte: Any, text: str, other: str | None) -> None:
        moment = when(text)
        assert moment is None or moment.first <= moment.last
        conversion = analyte.conversion(text, other)
        assert conversion is None or conversion.factor > 0
        _BOUND_TEXT.fullmatch(text)

    holds()


@st.composite
def mutated(draw: st.DrawFn, text: bytes) -> bytes:
    """A text with some of its bytes cut, doubled, turned or replaced."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        text = text[:start] + draw(st.binary(max_size=8) | st.just(text[start:end] * 2) | JSON_BITS) + text[end:]
    return text


JSON_BITS = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b"\\u",
        b"\\ud800",
        b"null",
        b"1e999",
        b"-0",
        b",",
        b":",
        b"\xff",
        b"\0",
        b"NaN",
    ]
)


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves(
    "R20", "20,000 mutated bodies in make proof (1,000 in make test): a call, or refused with 400 or 413"
)
@pytest.mark.parametrize("lenient", [False, True])
def test_r20_any_bytes_are_a_call_or_are_refused(campaign: Callable[[int], int], lenient: bool) -> None:
    @settings(max_examples=campaign(20_000), **QUIET)
    @given(mutated(CALL) | st.binary(max_size=64))
    def holds(body: bytes) -> None:
        with suppress(MalformedRequest, RequestTooLarge):
            call = read_call(body, HOOKS, lenient=lenient)
            assert call.hook == "patient-view"
        with suppress(MalformedRequest, RequestTooLarge):
            read_feedback(body, "local", "kidney-failure-risk", AT)

    holds()


def part(members: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return members.map(lambda of: urlsafe_b64encode(msgspec.json.encode(of)).decode().rstrip("="))


HEADER = part(st.fixed_dictionaries({"alg": scalars, "kid": scalars, "typ": st.just("JWT")}) | anything)
CLAIMS = part(st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "jti", "nbf", "sub"]), anything) | anything)


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R20", "20,000 texts for a token in make proof (1,000 in make test): taken apart, or NotTrusted")
def test_r20_any_text_is_taken_apart_or_not_trusted(campaign: Callable[[int], int]) -> None:
    whole = token()
    turned = mutated(whole.encode()).map(lambda text: text.decode("latin-1"))

    @settings(max_examples=campaign(20_000), **QUIET)
    @given(turned | st.text() | st.tuples(HEADER, CLAIMS, st.just("AAAA")).map(".".join))
    def holds(text: str) -> None:
        with suppress(NotTrusted):
            assert take_apart(text).claims.jti

    holds()
