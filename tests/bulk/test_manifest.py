"""One reader for the manifests of STU1 to STU4, that no manifest whatever brings down."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.bulk.failed import ExportFailed
from cds.bulk.manifest import Listed, Manifest, holds_manifest, read_manifest
from cds.bulk.plan import Kept, Plan

AT = "https://ehr.example/fhir/status/1"
FILE = {"type": "Patient", "url": "https://ehr.example/files/1"}
PATIENT = Listed("output", "Patient", "https://ehr.example/files/1")
GONE = Listed("deleted", "Bundle", "https://ehr.example/files/2", 1)
STU1 = {"transactionTime": "2026-11-22T10:00:00Z", "request": "…", "requiresAccessToken": True, "output": [FILE],
        "error": []}  # fmt: skip
STU2 = STU1 | {"output": [FILE | {"count": 3}], "deleted": [{"type": "Bundle", "url": "/files/2", "count": 1}],
               "extension": {"https://ehr.example/extra": True}}  # fmt: skip
STU3 = STU2 | {
    "outputFormat": "application/fhir+ndjson", "outputOrganizedBy": "Patient",
    "output": [{"url": "https://ehr.example/files/1", "count": 3, "continuesInFile": "https://ehr.example/files/3"}],
    "link": [{"relation": "next", "url": "https://ehr.example/fhir/status/1?page=2"}],
}  # fmt: skip
STU4 = {
    "transactionTime": "2026-11-22T10:00:00Z", "requiresAccessToken": False, "extension": [{"url": "https://x.example"}],
    "output": [FILE | {"count": 3, "fileSize": 120}], "deleted": [],
    "outcome": [{"type": "OperationOutcome", "url": "3", "count": 1}], "link": [{"relation": "next", "url": "?page=2"}],
}  # fmt: skip


def read(said: Any) -> Manifest:
    return read_manifest(msgspec.json.encode(said), AT)


@pytest.mark.proves("B13", "one reader for the manifests of STU1, STU2, STU3 and STU4: error and outcome alike")
@pytest.mark.parametrize(
    ("said", "files", "following", "token"),
    [
        pytest.param(STU1, (PATIENT,), None, True, id="STU1"),
        pytest.param(
            STU2,
            (Listed("output", "Patient", PATIENT.url, 3), GONE), None, True, id="STU2",
        ),
        pytest.param(
            STU3,
            (Listed("output", "ByPatient", PATIENT.url, 3), GONE),
            f"{AT}?page=2", True, id="STU3",
        ),
        pytest.param(
            STU4,
            (Listed("output", "Patient", PATIENT.url, 3, 120),
             Listed("error", "OperationOutcome", "https://ehr.example/fhir/status/3", 1)),
            f"{AT}?page=2", False, id="STU4",
        ),
    ],
)  # fmt: skip
def test_each_version_is_read(said: Any, files: tuple[Listed, ...], following: str | None, token: bool) -> None:
    found = read(said)
    assert (found.files, found.next, found.with_token) == (files, following, token)
    assert found.transaction_time == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize(
    "said",
    [
        [], 7, None, {}, {"output": None}, {"output": {}}, {"output": [7]}, {"output": [{}]},
        {"output": [{"url": " "}]},
        {"output": [{"url": 7}]}, {"output": [FILE | {"type": "../../etc/passwd"}]}, {"output": [FILE | {"type": 7}]},
        {"output": [], "deleted": {}}, {"output": [], "outcome": "x"}, {"output": [], "link": {"relation": "next"}},
        {"output": [{"type": "Patient", "url": "http://[::1"}]},
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(said: Any) -> None:
    with pytest.raises(ExportFailed, match="the export's manifest"):
        read(said)


@pytest.mark.parametrize(("said", "count"), [("7", 7), (7.0, 7), (True, None), (-1, None), ("many", None), (7.5, None)])
def test_a_count_that_is_none_is_not_said(said: Any, count: int | None) -> None:
    assert read({"output": [FILE | {"count": said}]}).files[0].count == count


MEMBERS = ("output", "error", "outcome", "deleted", "link", "url", "type", "count", "relation", "fileSize")
NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(MEMBERS),
        inner, max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.proves("B13", "500 manifests of any shape: read or refused, and no file outside its folder")
@settings(max_examples=500)
@given(JSON)
def test_any_json_is_read_or_refused(said: Any) -> None:
    body = msgspec.json.encode(said)
    try:
        found = read_manifest(body, AT)
    except ExportFailed:
        return
    assert holds_manifest(body)
    for entry in Plan([]).take(0, found, None):
        folder, _, name = entry.name.rpartition("/")
        assert folder in ("", "deleted", "error")
        assert name.endswith(".ndjson")
        assert not name.startswith(".")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert not holds_manifest(body)
    with pytest.raises(ExportFailed):
        read_manifest(body, AT)


def manifest(*urls: str, count: int | None = None) -> Manifest:
    return read({"output": [{"type": "Patient", "url": url} | ({"count": count} if count else {}) for url in urls]})


@pytest.mark.proves("B21", "names and places stay when a manifest is read again: signed anew, or in another order")
def test_a_manifest_that_is_read_again_names_the_same_files() -> None:
    plan = Plan([])
    plan.take(0, manifest("https://f.example/a?sig=1", "https://f.example/b?sig=1"), None)
    first, second = plan.entries
    plan.take(0, manifest("https://f.example/b?sig=2", "https://f.example/a?sig=2"), None)
    assert plan.entries == [first, second]
    assert plan.links[first.name].url == "https://f.example/a?sig=2"
    moved = manifest("https://f.example/new1", "https://f.example/new2")
    with pytest.raises(ExportFailed, match="which of its Patient files is which"):
        plan.take(0, moved, None)
    first.kept = second.kept = Kept(1, 1, "")
    plan = Plan(plan.entries)
    assert [one.kept for one in plan.take(0, moved, None)] == [None, None]
    with pytest.raises(ExportFailed, match="another file"):
        plan.take(0, manifest("https://f.example/new1?sig=3", "https://f.example/new2?sig=3", count=7), None)


def test_nothing_of_a_url_is_in_the_record() -> None:
    plan = Plan([])
    plan.take(0, manifest("https://f.example/a?sig=secret"), None)
    assert b"secret" not in msgspec.json.encode(plan.entries)
    assert b"f.example" not in msgspec.json.encode(plan.entries)
