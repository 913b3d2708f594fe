"""A search may find too much and never too little: every engine keeps what reading every line keeps."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.batch.lines import Block
from cds.batch.prefilter import Engine, literals, selector
from cds.batch.scan import Scanned, Scanner
from cds.batch.scorers import Scorers
from cds.errors import SiteError
from cds.fhir.codes import URIS, CodeSet
from cds.settings import read_settings
from cds.site import load_site
from tests.batch.runs import KFRE, Json

ENGINES: tuple[Engine, ...] = ("aho", "rg", "none")
KINDS = ("Observation", "Condition", "Procedure", "Encounter", "MedicationRequest", "Claim")
LOCAL = {"http://lab.example.org|crea/serum": "creatinine", 'urn:oid:1.2.3|ÄÖ "quoted" egfr-local': "egfr"}


def scorers(codes: dict[str, str] | None = None) -> Scorers:
    site = load_site(settings=read_settings(region="north-america", codes=codes or {}))
    return Scorers([site.models["kfre-4"], site.models["kfre-6"]], site.vocabulary)


OURS = scorers(LOCAL)


def codings() -> list[tuple[str, str]]:
    """A coding of every entry of every set, in the spellings in which hospitals send it, and the site's own."""
    found = [(system, code) for system, code in OURS.vocabulary.local]
    for codes in OURS.vocabulary.sets.values():
        for entry in codes.entries:
            code = entry.code.split("-")[0] if entry.match == "range" else entry.code
            code = f"{code}9" if entry.match == "prefix" else code
            spelled = {code, code.replace(".", ""), code.lower()} if entry.system.startswith("icd") else {code}
            found += [(uri, one) for uri in URIS[entry.system] for one in sorted(spelled)]
    return found


CODINGS = codings()


def escaped(text: str, every: int) -> str:
    """JSON with each `every`th letter of its strings written as an escape."""
    return "".join(f"\\u{ord(c):04x}" if every and n % every == 0 and c.isalnum() else c for n, c in enumerate(text))


def told(found: Scanned) -> Any:
    return found.lines, found.kept, found.shards, found.rejects, found.replaced


def scanned(engine: Engine, data: bytes) -> Any:
    return told(Scanner(OURS, engine, 4).scan(0, [Block(data, len(data))]))


def line(kind: str, coding: tuple[str, str], spaced: bool, every: int, ascii_only: bool, slashes: bool) -> str:
    system, code = coding
    one = {"coding": [{"system": "http://other.example", "code": "x"}, {"system": system, "code": code}]}
    resource: Json = {"resourceType": kind, "id": "r", "status": "final", "subject": {"reference": "Patient/p"}}
    resource |= {"medicationCodeableConcept" if kind == "MedicationRequest" else "code": one}
    text = json.dumps(resource, separators=(", ", ": ") if spaced else (",", ":"), ensure_ascii=ascii_only)
    text = text.replace("/", "\\/") if slashes else text
    return text.replace(f'"{code}"', f'"{escaped(code, every)}"') if every and '"' not in code else text


@given(
    lines=st.lists(
        st.builds(
            line, st.sampled_from(KINDS), st.sampled_from(CODINGS), st.booleans(), st.integers(0, 3), st.booleans(),
            st.booleans(),
        ),
        min_size=1, max_size=6,
    ),
    ends=st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_every_engine_keeps_what_reading_every_line_keeps(lines: list[str], ends: str) -> None:
    data = ends.join(["", *lines, ""]).encode()
    aho, rg, none = (scanned(engine, data) for engine in ENGINES)
    assert aho == rg == none


def test_each_code_of_each_set_is_found_in_each_engine() -> None:
    lines = [line("Observation", coding, False, 0, True, False).encode() + b"\n" for coding in CODINGS]
    barred = [
        one for one in OURS.vocabulary.sets.values() if one.entries and all(e.match == "never" for e in one.entries)
    ]
    kept = [scanned(engine, b"".join(lines)) for engine in ENGINES]
    assert kept[0] == kept[1] == kept[2]
    assert kept[0][1] >= len(lines) * 0.9, "nearly every coding is one that a set holds"
    assert not barred


DAMAGED = [
    b'{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"2160-0"',
    b'{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"8302-2"',
    b'"id":"x","code":"2160-0"}',
    b"not JSON 2160-0",
    b"{not JSON 2160-0}",
    b"{not JSON}",
    b'{"id":"no type","code":{"coding":[{"code":"2160-0"}]}}',
    b'{"id":"no type"}',
    b'{"resourceType":"OperationOutcome","issue":[]}',
    b'{"resourceType":"Bundle","type":"batch"}',
    b'{"resourceType":"Patient"}',
    b'{"resourceType":"Condition","code":{"coding":[{"system":"http://snomed.info/sct","code":"431857002"}]}}',
    b'{"resourceType":"Observation","code":{"coding":[{"system":"http://loinc.org","code":"8302-2"}]}}',
    b"",
    b"   \r",
    b"null",
    b"[]",
]


@given(st.lists(st.sampled_from(DAMAGED), max_size=12), st.booleans())
def test_every_engine_rejects_the_same_lines(lines: list[bytes], ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    aho, rg, none = (scanned(engine, data) for engine in ENGINES)
    assert aho == rg == none


def test_what_is_searched_for_stays_few_and_holds_no_other() -> None:
    texts = literals(KFRE().needs, KFRE().vocabulary).texts
    assert len(texts) <= 64  # of more, the search is several times as slow
    assert not [one for one in texts for other in texts if one != other and other in one]
    assert b"2160-0" in texts
    assert b'"Patient"' in texts


@pytest.mark.parametrize("code", ["x|/", "L|Na", "https://my.snomed.info.example|é"])
def test_a_local_code_that_nothing_can_be_searched_of_is_found_all_the_same(code: str) -> None:
    odd, (system, local) = scorers({code: "creatinine"}), code.split("|")
    data = line("Observation", (system, local), False, 0, False, False).encode() + b"\n"
    kept = [Scanner(odd, engine, 4).scan(0, [Block(data, len(data))]).kept for engine in ENGINES]
    assert kept == [1, 1, 1]


@pytest.mark.proves(
    "R17", "a line of 15 MiB in a block of 32, a line that begins with a UTF-16 mark: every engine alike"
)
def test_long_lines_and_odd_marks_are_the_same_to_every_engine() -> None:
    wanted = line("Observation", CODINGS[20], False, 0, True, False).encode() + b"\n"
    for odd in (b'{"a":"' + b"x" * (15 << 20) + b'"}\n', b"\xff\xfe junk\n", b"\xfe\xff\n"):
        data = odd + wanted * 3
        aho, rg, none = (scanned(engine, data) for engine in ENGINES)
        assert aho == rg == none
        assert aho[1] == 3


def test_ripgrep_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SiteError, match=r"rg.* is not installed; --prefilter aho"):
        selector("rg", literals(OURS.needs, OURS.vocabulary))


def test_a_set_that_only_takes_away_is_not_searched_for() -> None:
    assert isinstance(next(iter(OURS.vocabulary.sets.values())), CodeSet)
    texts = literals(OURS.needs, OURS.vocabulary).texts
    never = {e.code for s in OURS.vocabulary.sets.values() for e in s.entries if e.match == "never"}
    meant = {e.code for s in OURS.vocabulary.sets.values() for e in s.entries if e.match == "exact"}
    assert never - meant
    assert not [code for code in never - meant if code.encode() in texts]
