"""Whatever JSON stands where a resource should: it is read or refused by its one error, and nothing is lost unsaid."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cds.errors import UnreadableResource
from cds.fhir.bounds import too_deep
from cds.fhir.codes import Vocabulary
from cds.fhir.facts import facts_of
from cds.fhir.resources import Resource, concepts, first_code, read, read_leniently

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
MEMBERS = sorted(field.encode_name for field in structs.fields(Resource) if field.name != "faults")
KEYS = st.sampled_from(MEMBERS) | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)
NO_CODES = Vocabulary(())


@given(VALUES | OBJECTS)
def test_any_json_is_read_or_refused(value: Any) -> None:
    text = json.dumps(value)
    for resource in (read_or_none(read, text), read_or_none(read, text.encode()), read_or_none(read_leniently, value)):
        assert resource is None or list(facts_of(resource, NO_CODES)) == []


@given(st.binary() | st.text())
def test_bytes_are_read_or_refused(data: bytes | str) -> None:
    for reader in (read, read_leniently):
        assert read_or_none(reader, data) is None or isinstance(json.loads(data), dict)


def read_or_none(reader: Callable[[Any], Resource], value: Any) -> Resource | None:
    try:
        return reader(value)
    except UnreadableResource:
        return None


def members(resource: Any) -> Any:
    """A resource's members, with those that are kept as JSON decoded: two spellings of one value are one value."""
    if isinstance(resource, msgspec.Raw):
        return json.loads(bytes(resource) or b"null")
    if isinstance(resource, msgspec.Struct):
        return {name: members(getattr(resource, name)) for name in resource.__struct_fields__}
    return [members(one) for one in resource] if isinstance(resource, tuple) else repr(resource)


@given(OBJECTS)
def test_reading_leniently_gives_what_reading_strictly_gives(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    try:
        strict = read(text)
    except UnreadableResource:
        return
    assert members(read_leniently(json.loads(text))) == members(strict)


WRONG = [
    ("Observation", "valueQuantity", "1.4 mg/dL"),
    ("Observation", "valueQuantity", {"value": "1.4"}),
    ("Observation", "valueInteger", "10"),
    ("Observation", "status", 1),
    ("Observation", "component", {"code": {}}),
    ("Observation", "component", [{"valueQuantity": {"value": "1"}}]),
    ("Observation", "effectiveDateTime", 2026),
    ("Observation", "encounter", "Encounter/1"),
    ("Observation", "dataAbsentReason", "unknown"),
    ("Condition", "clinicalStatus", "active"),
    ("Condition", "verificationStatus", ["confirmed"]),
    ("Patient", "birthDate", 1956),
    ("Patient", "deceasedBoolean", "false"),
    ("Patient", "link", {}),
    ("Patient", "extension", [{"url": 1}]),
]


@pytest.mark.parametrize(("kind", "member", "value"), WRONG)
def test_a_member_of_the_wrong_type_is_left_out_and_named(kind: str, member: str, value: Any) -> None:
    whole = {"resourceType": kind, "id": "one", "issued": "2026-11-22T00:00:00Z", member: value}
    with pytest.raises(UnreadableResource) as fault:
        read(json.dumps(whole))
    assert fault.value.path.startswith(member)
    resource = read_leniently(whole)
    assert (resource.faults, resource.issued) == ((member,), "2026-11-22T00:00:00Z")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("resourceType", 1), ("id", 1), ("subject", "Patient/p"), ("patient", []), ("beneficiary", "x"),
        ("participant", {}), ("code", "2160-0"), ("code", [{}]), ("entry", {}), ("entry", "x"), ("entry", [1]),
        ("entry", [{"resource": {"subject": "x"}}]), ("entry", [{"resource": 1}]), ("entry", [{"fullUrl": 1}]),
    ],
)  # fmt: skip
def test_what_must_be_known_is_never_left_out(member: str, value: Any) -> None:
    with pytest.raises(UnreadableResource):
        read_leniently({"resourceType": "Observation", "id": "one", member: value})


def test_a_bundle_loses_no_member_but_its_resources_may() -> None:
    with pytest.raises(UnreadableResource):
        read_leniently({"resourceType": "Bundle", "link": {"relation": "next", "url": "x"}})
    entry = {"resource": {"resourceType": "Observation", "valueInteger": "1"}}
    bundle = read_leniently({"resourceType": "Bundle", "entry": [entry]})
    assert bundle.entry is not None
    assert bundle.entry[0].resource is not None
    assert bundle.entry[0].resource.faults == ("valueInteger",)


def test_too_many_faults_are_no_resource() -> None:
    dates = [name for name in MEMBERS if name.startswith(("value", "effective", "onset", "performed", "recorded"))]
    wrong: dict[str, Any] = dict.fromkeys([*dates, "issued", "start", "period", "gender", "birthDate", "status"], 7)
    with pytest.raises(UnreadableResource):
        read_leniently({"resourceType": "Observation", **wrong})


@pytest.mark.parametrize("deep", ["[", '{"contained":[', '{"entry":[{"resource":', '{"extension":['])
def test_a_bomb_is_refused(deep: str) -> None:
    for text in (deep * 50_000, deep * 2_000):
        with pytest.raises(UnreadableResource):
            read(text)
        with pytest.raises(UnreadableResource):
            read_leniently(text.encode())


def test_deep_values_are_refused() -> None:
    value: dict[str, Any] = {"resourceType": "Bundle"}
    for _ in range(5_000):
        value = {"resourceType": "Bundle", "entry": [{"resource": value}]}
    with pytest.raises(UnreadableResource):
        read_leniently(value)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1" + "0" * 400])
def test_numbers_are_finite(number: str) -> None:
    with pytest.raises(UnreadableResource):
        read(f'{{"resourceType":"Observation","valueQuantity":{{"value":{number}}}}}')


def test_the_last_of_two_equal_keys_wins() -> None:
    assert read('{"status":"final","status":"cancelled"}').status == "cancelled"


def test_an_error_tells_the_path_and_no_value() -> None:
    with pytest.raises(UnreadableResource) as fault:
        read('{"resourceType":"Patient","birthDate":{"secret":"1956-06-09"}}')
    assert fault.value.path == "birthDate"
    assert "secret" not in fault.value.message
    assert "1956" not in fault.value.message


def test_concepts_of_one_or_many() -> None:
    one = {"coding": [{"code": "a"}]}
    assert [
        first_code(c)
        for value in (one, [one, "x", one], None, "x", [], 7)
        for c in concepts(msgspec.Raw(json.dumps(value).encode()))
    ] == ["a"] * 3


@pytest.mark.parametrize(("depth", "deep"), [(63, False), (64, False), (65, True), (100_000, True)])
def test_depth_is_counted_outside_strings(depth: int, deep: bool) -> None:
    assert (
        too_deep(b'\n{"a":"' + b"[" * 100 + b'\\"","b":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}", 64) is deep
    )


@pytest.mark.parametrize("kind", [[], {}, [["Observation"]], 7, None, True])
def test_a_type_that_is_no_text_is_unreadable_and_no_fault_of_ours(kind: object) -> None:
    with pytest.raises(UnreadableResource):
        read_leniently({"resourceType": kind, "code": {"coding": [True]}, "id": 7})
