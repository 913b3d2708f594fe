"""Files as they come: one bad patient spoils no other, and nothing is left out without a word."""

import json
from pathlib import Path
from typing import Any

import pytest

from cds.batch.documents import DEEPEST
from cds.batch.gather import Gathered, gather
from tests.cli.command import AT, EXPORT, PATIENTS, ROOT, bedside

Json = dict[str, Any]
BREAKS_FOR_MEN = '''"""Breaks for men."""
from models.kfre.model import Kfre4

class Fragile(Kfre4):
    id = "fragile"

    def predict(self, row):
        if row.sex.value == "male":
            raise ZeroDivisionError("canary")
        return super().predict(row)
'''


def patient(name: str) -> Json:
    return {"resourceType": "Patient", "id": name, "birthDate": "1960-01-01", "gender": "male"}


def condition(owner: str, **more: Any) -> Json:
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "431857002"}]}
    return {"resourceType": "Condition", "subject": {"reference": f"Patient/{owner}"}, "code": code, **more}


def bundle(*resources: Json | None, kind: str = "collection") -> Json:
    entries = [{"resource": one} if one else {"fullUrl": "https://ehr.example/fhir/Patient/x"} for one in resources]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def gathered(folder: Path, content: Json) -> Gathered:
    (folder / "it.json").write_text(json.dumps(content))
    return gather([folder])


def score(*arguments: str, read: str = "") -> tuple[int, list[Json], str]:
    done = bedside("score", *arguments, "--json", "--region", "north-america", "--at", AT, read=read)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_patient_whose_chart_contradicts_itself_is_rejected_alone(tmp_path: Path) -> None:
    twice = [condition("a", id="c", clinicalStatus={"coding": [{"code": status}]}) for status in ("active", "resolved")]
    (tmp_path / "b.json").write_text(json.dumps(bundle(patient("a"), *twice, patient("b"))))
    code, lines, _ = score(str(tmp_path))
    assert code == 3
    assert [(line["patient"], line["outcome"], line["reason"]) for line in lines] == [
        ("a", "rejected", "unavailable"),
        ("b", "not-scored", "egfr-never-recorded"),
    ]
    assert lines[0]["text"] == "two versions of one Condition disagree"
    table = bedside("score", str(tmp_path), "--region", "elsewhere", "--at", AT)
    assert "0 scored, 1 not scored, 1 rejected." in table.stdout


def test_a_patient_on_whom_one_model_breaks_keeps_the_others(tmp_path: Path) -> None:
    own = tmp_path / "models" / "fragile"
    own.mkdir(parents=True)
    (own / "model.py").write_text(BREAKS_FOR_MEN)
    (own / "card.yaml").write_text((ROOT / "models" / "kfre" / "card.yaml").read_text())
    models = ("--model", "fragile", "--model", "kfre-4")
    code, lines, _ = score(str(PATIENTS / "refer.json"), str(PATIENTS / "low.json"), "--site", str(tmp_path), *models)
    assert code == 3
    assert [(line["patient"], line["model"], line["outcome"]) for line in lines] == [
        ("refer-64m", "fragile", "rejected"),
        ("refer-64m", "kfre-4", "risk"),
        ("low-68f", "fragile", "risk"),
        ("low-68f", "kfre-4", "risk"),
    ]
    assert lines[0]["text"] == "fragile failed with ZeroDivisionError"


def test_a_foreign_reference_is_a_matter_of_identity(tmp_path: Path) -> None:
    foreign = [
        condition("a", subject={"reference": f"https://{host}.example/fhir/Patient/a"}) for host in ("one", "two")
    ]
    (tmp_path / "b.json").write_text(json.dumps(bundle(patient("a"), *foreign)))
    code, lines, _ = score(str(tmp_path))
    assert (code, lines[0]["reason"]) == (3, "identity")


def test_bundles_within_bundles_are_unpacked(tmp_path: Path) -> None:
    found = gathered(tmp_path, bundle(bundle(patient("a"), kind="searchset"), bundle(bundle(condition("a")))))
    assert [one.resource_type for one, _ in found.patients["a"]] == ["Patient", "Condition"]
    assert found.rejects == []


def test_bundles_without_end_are_refused(tmp_path: Path) -> None:
    deep = bundle(condition("a"))
    for _ in range(DEEPEST):
        deep = bundle(deep)
    found = gathered(tmp_path, bundle(patient("a"), deep))
    assert len(found.patients["a"]) == 1
    assert [one.reason for one in found.rejects] == [f"Bundles nest deeper than {DEEPEST}"]


@pytest.mark.parametrize(
    ("kind", "held", "rejects"),
    [
        ("collection", [patient("a"), None], 1),
        ("searchset", [patient("a"), None, None], 2),
        ("searchset", [{"resourceType": "OperationOutcome"}, None], 0),
        ("searchset", [None], 1),
        ("collection", [{"resourceType": "OperationOutcome"}, None], 1),
    ],
)
def test_an_entry_without_a_resource_is_rejected(tmp_path: Path, kind: str, held: list[Any], rejects: int) -> None:
    found = gathered(tmp_path, bundle(*held, kind=kind))
    assert [one.reason for one in found.rejects] == ["an entry has no resource"] * rejects


@pytest.mark.parametrize("command", ["score", "check"])
def test_where_there_is_nothing_the_command_says_so(tmp_path: Path, command: str) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "refer.json").write_text((PATIENTS / "refer.json").read_text())
    empty = tmp_path / "empty.txt"
    empty.write_text(json.dumps({"resourceType": "Bundle", "type": "collection"}))
    for place in (tmp_path, empty):
        done = bedside(command, str(place), "--region", "elsewhere")
        assert done.returncode == 2
        assert f"no FHIR resources found in {place}" in done.stderr
    assert "no such file" in bedside(command, str(tmp_path / "nowhere"), "--region", "elsewhere").stderr


def test_check_prints_what_it_rejects(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text('{"resourceType":"Patient","id":"a"}\nnot json\n')
    done = bedside("check", str(tmp_path), "--region", "elsewhere")
    assert done.returncode == 3
    assert "Patient.ndjson:2: rejected: JSON is malformed" in done.stderr
    assert "1 patients, 1 rejects." in done.stdout


def test_standard_input_is_a_bundle_or_lines() -> None:
    expected = score(str(EXPORT))
    lines = "".join(file.read_text() for file in sorted(EXPORT.glob("*.ndjson")))
    assert score("-", read=lines) == expected
    by_patient = {line["patient"]: line for line in expected[1]}
    assert score("-", read=(PATIENTS / "refer.json").read_text()) == (0, [by_patient["refer-64m"]], "")
    assert score("-", read="{") == (3, [], "-:1: rejected: Input data was truncated\n")


def test_what_a_chart_says_is_printed_as_it_stands(tmp_path: Path) -> None:
    """A code or an id may hold what rich would take for markup, or for a face."""
    name = "[red]a:smile:[bold]"
    coding = {"system": "urn:[/x]", "code": "[link]:heart:"}
    held = bundle(patient(name), condition(name, code={"coding": [coding]}))
    (tmp_path / "b.json").write_text(json.dumps(held))
    assert name in bedside("score", str(tmp_path), "--region", "elsewhere").stdout
    assert "urn:[/x]|[link]:heart:" in bedside("check", str(tmp_path), "--region", "elsewhere").stdout
