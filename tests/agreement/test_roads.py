"""One patient, every road, one answer: the hook with and without prefetch, the SMART page, and the command line."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cds.ledger import AnswerRecord, ScoreRecord
from cds.risk.snapshot import read_snapshot
from fhir_fixtures.stories import STORIES, Story
from tests.cdshooks.charts import AT, request
from tests.cli.command import PATIENTS, bedside
from tests.ehr.clinic import Clinic, clinic
from tests.ehr.standalone import Visit, granted

Json = dict[str, Any]
NAMES = [story.name for story in STORIES]
HOOKS = ("prefetched", "fetched")
SCOPE = " ".join(("launch", *(f"patient/{kind}.rs" for kind in (
    "Patient", "Observation", "Condition", "Procedure", "Encounter", "MedicationRequest",
))))  # fmt: skip


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """Both servers, at the moment at which the stories are told."""
    with clinic(tmp_path_factory.mktemp("clinic"), at=AT, discovery="open") as running:
        yield running


@pytest.fixture(scope="module")
def lines() -> dict[str, Json]:
    """What `bedside score` says of each patient."""
    told = bedside("score", str(PATIENTS), "--region", "north-america", "--json", "--at", AT.isoformat())
    assert told.returncode == 0, told.stderr
    return {line["patient"]: line for line in map(json.loads, told.stdout.splitlines())}


@pytest.fixture(scope="module")
def templates(hospital: Clinic) -> Json:
    found: Json = hospital.ehr.http.get(f"{hospital.origin}/cds-services").json()["services"][0]["prefetch"]
    return found


def resources(story: Story) -> list[Json]:
    bundle = json.loads((PATIENTS / f"{story.name}.json").read_bytes())
    return [entry["resource"] for entry in bundle["entry"]]


def asked(hospital: Clinic, story: Story, templates: Json, road: str) -> tuple[Json, AnswerRecord]:
    """The card ({}: silence) and the record of a hook call that has everything with it, or of one that has nothing."""
    if road == "prefetched":
        call = request(resources(story), templates, of=story.patient)
    else:
        token = granted(Visit(hospital.ehr), scope=SCOPE, launch=hospital.ehr.launch(patient=story.patient))
        access = {name: token[name] for name in ("access_token", "token_type", "expires_in", "scope", "patient")}
        call = request(of=story.patient) | {"fhirServer": hospital.ehr.fhir_base}
        call |= {"fhirAuthorization": access | {"subject": "cds-service"}}
    answer = hospital.hook(call)
    assert answer.status_code == 200, answer.text
    cards = answer.json()["cards"]
    assert len(cards) <= 1
    return cards[0] if cards else {}, hospital.answers()[-1]


def told(score: ScoreRecord) -> Json:
    """A recorded outcome as the command line tells it."""
    answers = read_snapshot(score.row).answers
    inputs = [{**line, "source": getattr(answers[line["name"]], "source", "")} for line in score.inputs]
    said = {"model": score.model, "version": score.version, "outcome": score.outcome, "inputs": inputs}
    said |= {"reason": score.reason} if score.reason else {"estimates": score.estimates}
    as_json: Json = json.loads(json.dumps(said))
    return as_json


def assessed(card: Json) -> list[Json]:
    """The RiskAssessments that a card offers to save."""
    actions = [action for suggestion in card.get("suggestions", ()) for action in suggestion.get("actions", ())]
    found = [action["resource"] for action in actions if action.get("resource")]
    return [resource for resource in found if resource["resourceType"] == "RiskAssessment"]


@pytest.mark.proves(
    "R44", "12 stories by 4 roads: 0 differences in number, inputs, sources and reason, to the last bit"
)
@pytest.mark.proves("R52", "12 stories: prefetched, fetched and read by the page give the same row, byte for byte")
@pytest.mark.parametrize("story", STORIES, ids=NAMES)
def test_every_road_gives_the_same_answer(
    story: Story, hospital: Clinic, templates: Json, lines: dict[str, Json]
) -> None:
    (card, called), (other_card, fetched) = (asked(hospital, story, templates, road) for road in HOOKS)
    tab = hospital.visitor()
    assert tab.launch(story.patient).status_code == 200
    seen, page, line = hospital.answers()[-1], hospital.page(), lines[story.patient]
    assert [record.hook for record in (called, fetched, seen)] == ["patient-view", "patient-view", "smart-page"]
    # The row is everything that an outcome rests on: its bytes hold each value, unit, time and source.
    [score], [again], [shown] = called.scores, fetched.scores, seen.scores
    assert score.row == again.row == shown.row
    assert told(score) == told(again) == told(shown) == {name: line[name] for name in told(score)}
    # What a reader is told of it.
    assert card.get("summary") == other_card.get("summary")
    assert page.headline == card.get("summary", page.headline)
    assert {number.years: number.probability for number in page.numbers} == {
        f"{estimate['horizon']:g}": estimate["probability"] for estimate in line.get("estimates", ())
    }
    assert line.get("text", "") in page.headline
    assert called.reason == fetched.reason
    assert bool(card) != bool(called.reason)
    assert called.reason in (None, "low-risk", line.get("reason"))
    for caution in line["cautions"]:
        assert f"{caution[0].upper()}{caution[1:]}." in page.notes
    # What either would put into the chart.
    assert bool(assessed(card)) == (bool(card) and score.outcome == "risk")
    if assessed(card):
        assert "Saved to the chart." in tab.post("/save").text
        [offered], [saved] = assessed(card), hospital.saved(story.patient)
        for member in ("status", "subject", "method", "code", "prediction", "basis", "occurrenceDateTime"):
            assert saved.get(member) == offered.get(member), member


def test_the_stories_take_every_road_to_a_number_and_to_a_reason(lines: dict[str, Json]) -> None:
    assert sorted(lines) == sorted(story.patient for story in STORIES)
    assert len([line for line in lines.values() if line["outcome"] == "risk"]) == 5
    assert len({line["reason"] for line in lines.values() if line["outcome"] == "not-scored"}) == 7
