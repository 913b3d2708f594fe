"""Writes the stories: a Bundle per patient, the same resources as an export, the hook calls, and the README's table."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from fhir_fixtures.hook_calls import request_of, request_text
from fhir_fixtures.shapes import Resource, Subject, Visit
from fhir_fixtures.stories import AT, STORIES, Story

HERE = Path(__file__).parent
SERVER = "https://fixtures.example/fhir"
TEST_DATA = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}
TABLE = "<!-- the table: python -m fhir_fixtures.build -->"


def patient_of(story: Story) -> Resource:
    """The Patient, marked as test data for whoever meets it away from here."""
    return {
        "resourceType": "Patient",
        "id": story.patient,
        "meta": {"tag": [TEST_DATA]},
        "identifier": [{"system": f"{SERVER}/mrn", "value": f"FX-{story.patient.upper()}"}],
        "active": story.died is None,
        "name": [{"use": "official", "family": story.family, "given": [story.given]}],
        "gender": story.gender,
        "birthDate": story.born,
        **({"deceasedDateTime": story.died} if story.died else {}),
    }


def resources_of(story: Story) -> list[Resource]:
    """Everything that the chart holds, the Patient first."""
    visits = {
        row.day: f"{story.patient}-visit-{row.day.replace('-', '')}" for row in story.rows if isinstance(row, Visit)
    }
    subject = Subject(story.patient, visits)
    made = [patient_of(story), *(row.resource(subject) for row in story.rows)]
    if len({(one["resourceType"], one["id"]) for one in made}) != len(made):
        raise ValueError(f"two rows of the story {story.name} make the same id")
    return made


def line(value: object) -> str:
    """Compact JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def bundle_text(story: Story) -> str:
    """The collection Bundle with one entry a line, so that a changed row is one changed line."""
    head = {
        "resourceType": "Bundle",
        "id": story.name,
        "meta": {"tag": [TEST_DATA]},
        "type": "collection",
        "timestamp": AT,
    }
    entries = [
        line({"fullUrl": f"{SERVER}/{one['resourceType']}/{one['id']}", "resource": one}) for one in resources_of(story)
    ]
    return line(head)[:-1] + ',"entry":[\n' + ",\n".join(entries) + "\n]}\n"


def export_texts() -> dict[str, str]:
    """One NDJSON text per resource type, the stories in order."""
    by_type: dict[str, list[str]] = {}
    for story in STORIES:
        for one in resources_of(story):
            by_type.setdefault(one["resourceType"], []).append(line(one))
    return {f"export/{kind}.ndjson": "\n".join(lines) + "\n" for kind, lines in sorted(by_type.items())}


def request_texts() -> dict[str, str]:
    """One CDS Hooks request per story."""
    return {f"requests/{story.name}.json": request_text(request_of(story, resources_of(story))) for story in STORIES}


def percent(value: float | None) -> str:
    """A risk as the table shows it."""
    return "none" if value is None else f"{value:.1f} %"


def table() -> str:
    """The stories as Markdown."""
    columns = "| Story | Patient | What happened | What should happen | eGFR | 5 years | 2 years | Resources |"
    rows = [
        f"| {one.name} | {one.patient} | {one.told} | {one.expected} | {one.egfr or 'none'} "
        f"| {percent(one.five_years)} | {percent(one.two_years)} | {len(resources_of(one))} |"
        for one in STORIES
    ]
    return "\n".join((columns, "|" + "---|" * 8, *rows))


def readme_text() -> str:
    """The README with its table as the stories now tell it."""
    before, _, after = (HERE / "README.md").read_text(encoding="utf-8").split(TABLE)
    return f"{before}{TABLE}\n{table()}\n{TABLE}{after}"


def files() -> dict[str, str]:
    """Every file that is made, by its path here."""
    patients = {f"patients/{story.name}.json": bundle_text(story) for story in STORIES}
    return {**patients, **export_texts(), **request_texts(), "README.md": readme_text()}


def stale(made: Mapping[str, str]) -> list[str]:
    """The files that are absent, differ from what the stories make, or that no story makes any more."""
    folders = ("patients", "export", "requests")
    there = {path.relative_to(HERE).as_posix() for folder in folders for path in (HERE / folder).glob("*")}
    wrong = {
        name for name, text in made.items() if not (HERE / name).is_file() or (HERE / name).read_text("utf-8") != text
    }
    return sorted(wrong | (there - set(made)))


def write(made: Mapping[str, str]) -> None:
    """Put every file in its place, and remove what no story makes any more."""
    for name in stale(made):
        path = HERE / name
        if name not in made:
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[name], encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check only say which are stale: 0 when all is well, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    if not parser.parse_args(arguments).check:
        write(files())
        return 0
    wrong = stale(files())
    for name in wrong:
        sys.stderr.write(f"stale: fhir_fixtures/{name}; run python -m fhir_fixtures.build\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
