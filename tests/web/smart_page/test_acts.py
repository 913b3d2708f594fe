"""What a reader can do on a page: ask what if, save once, say whether it helped; and what each leaves in the ledger."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import httpx
import msgspec
import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds.fhir.client import Created
from cds.web.smart import views
from fhir_fixtures.search import prefetch
from models.kfre.equation import kidney_failure_risk
from tests.cdshooks.desk import SERVICE
from tests.web.smart_page.bench import READ, SAVE, TICKET, App
from tests.web.smart_page.markup import Markup

CARD = "5d5f8f3e-2c38-5c3b-9c3e-0f7b7f3f6a11"


def view_of(app: App) -> views.Page:
    return msgspec.json.decode(app.answers()[-1].body, type=views.Page)


def assessment(app: App) -> str:
    app.open()
    return view_of(app).save


@pytest.mark.proves("PAGE", "a what-if is the published equation, recorded as smart-what-if and never as a score")
def test_a_what_if_stands_beside_the_real_number_and_is_recorded_as_hypothetical(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    text = Markup(app.act("what-if", {"egfr": "25", "acr": "310"})).text
    expected = kidney_failure_risk(4, "north-america", 5, 64, True, 25, 310.0)
    assert f"{expected * 100:.1f}%" in text
    assert "15.4%" in text
    assert "Hypothetical: eGFR 25 mL/min/1.73 m²" in text
    kept = app.answers()[-1]
    view = view_of(app)
    assert kept.hook == "smart-what-if"
    assert view.what_if is not None
    assert view.what_if.numbers[0].probability == expected
    [score] = kept.scores
    assert [round(e["probability"], 3) for e in score.estimates] == [0.052, 0.154]
    assert ("what-if", "success", {"service": SERVICE}) in app.notes


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"egfr": "75", "acr": "310"}, "eGFR: 5 to 59 mL/min/1.73 m²"),
        ({"egfr": "25", "acr": "-1"}, "Urine ACR: 1 to 5000 mg/g"),
        ({"egfr": "nan", "acr": "310"}, "eGFR is not a number"),
        ({"egfr": "1e999", "acr": "310"}, "eGFR is not a number"),
        ({"egfr": "<script>", "acr": "310"}, "eGFR is not a number"),
        ({"egfr": "2" * 400, "acr": "310"}, "eGFR is not a number"),
        ({"egfr": "34", "acr": "310"}, "these are the patient's own"),
        ({}, "these are the patient's own"),
    ],
)
def test_a_what_if_out_of_range_says_so_and_shows_no_hypothetical_number(
    form: dict[str, str], said: str, open_app: Callable[..., App]
) -> None:
    app = open_app("refer")
    page = Markup(app.act("what-if", form))
    assert said in page.text
    assert page.faults == []
    assert page.active() == []
    what_if = view_of(app).what_if
    assert what_if is not None
    assert what_if.numbers == ()


def test_a_what_if_without_a_risk_has_nothing_to_compare_with(open_app: Callable[..., App]) -> None:
    app = open_app("missing")
    app.act("what-if", {"egfr": "25"})
    assert view_of(app).what_if == views.WhatIf(refused="There is no risk to compare with.")
    assert view_of(app).numbers == ()


def test_the_assessment_that_is_saved_is_the_one_that_is_shown(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE)
    shown = assessment(app)
    assert "Saved to the chart." in app.act("save", {"assessment": shown})
    [created] = app.records.created
    assert created["identifier"] == [{"system": "urn:bedside:risk-assessment", "value": shown}]
    assert created["subject"] == {"reference": "Patient/refer-64m"}
    assert [p["probabilityDecimal"] for p in created["prediction"]] == [5.223965, 15.423074]
    RiskAssessment.model_validate_json(json.dumps(created))
    assert ("save", "success", {"service": SERVICE, "step": "done"}) in app.notes


@pytest.mark.parametrize("finds", [True, False], ids=["EHR searches by identifier", "EHR does not"])
@pytest.mark.proves("PAGE", "the save button pressed 8 times at once makes 1 RiskAssessment")
async def test_a_button_pressed_eight_times_saves_once(finds: bool, open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE.replace("RiskAssessment.c", "RiskAssessment.crs"))
    app.records.finds_by_identifier = finds
    shown = assessment(app)
    form, url = {"ticket": TICKET, "assessment": shown}, f"http://localhost{app.path}/{SERVICE}/save"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.app)) as browser:
        answers = await asyncio.gather(*(browser.post(url, data=form) for _ in range(8)))
    pages = [answer.text for answer in answers]
    assert len(app.records.created) == 1
    assert sum("Saved to the chart." in page for page in pages) == 1
    assert sum("in the chart already" in page for page in pages) == 7


def test_what_another_server_saved_is_found_and_not_saved_again(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE.replace("RiskAssessment.c", "RiskAssessment.crs"))
    shown = assessment(app)
    identifier = [{"system": "urn:bedside:risk-assessment", "value": shown}]
    subject = {"reference": f"Patient/{app.launch.patient_id}"}
    theirs = {"resourceType": "RiskAssessment", "id": "theirs", "identifier": identifier, "subject": subject}
    app.records.created.append(theirs)
    assert "in the chart already" in app.act("save", {"assessment": shown})
    theirs["status"] = "entered-in-error"
    page = app.act("save", {"assessment": shown})
    assert "Not saved: this risk was saved before and marked in the chart as entered in error." in page
    assert len(app.records.created) == 1


def test_a_server_that_knows_conditional_creates_makes_none_twice(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE)
    shown = assessment(app)
    app.records.conditional = True
    assert "Saved to the chart." in app.act("save", {"assessment": shown})
    again = open_app("refer", scope=SAVE, records=app.records)  # another process, with nothing to search by
    assert "in the chart already" in again.act("save", {"assessment": shown})
    assert len(app.records.created) == 1


def test_card_and_page_save_one_and_the_same_assessment(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE)
    shown = assessment(app)
    context = {"userId": "Practitioner/doc", "patientId": app.launch.patient_id}
    templates = app.http.get("/cds-services").json()["services"][0]["prefetch"]
    given = prefetch(app.records.resources, templates, context)
    call = {"hook": "patient-view", "hookInstance": CARD, "context": context, "prefetch": given}
    (card,) = app.http.post(f"/cds-services/{SERVICE}", json=call).json()["cards"]
    saved = card["suggestions"][0]["actions"][0]["resource"]
    assert saved["identifier"][0]["value"] == shown


@pytest.mark.proves("R38", "a save is noted before the EHR is asked; unnoted: 0 created, 503")
def test_nothing_is_saved_that_the_ledger_does_not_know(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE, audited=True)
    shown = assessment(app)
    with closing(sqlite3.connect(app.ledger_path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        page = app.act("save", {"assessment": shown}, status=503)
    assert "Nothing is shown for the moment" in page
    assert app.records.created == []
    app.act("save", {"assessment": shown})
    steps = [(one.outcome, one.detail["step"]) for one in app.ledger.events() if one.kind == "save"]
    assert steps == [("success", "asked"), ("success", "done")]


def test_what_was_saved_is_told_also_when_the_ledger_goes_out_meanwhile(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE, audited=True)
    shown = assessment(app)
    with closing(sqlite3.connect(app.ledger_path, check_same_thread=False)) as other:
        app.records.at_create = lambda: other.execute("BEGIN EXCLUSIVE")
        page = app.act("save", {"assessment": shown}, status=503)
    assert "Saved to the chart. What a page shows has to be recorded first" in page
    assert "15.4%" not in page
    assert len(app.records.created) == 1


@pytest.mark.proves("R38", "another's result and another's Patient on a page: one wrong-patient event each, no success")
def test_another_patients_data_on_a_page_is_noted(open_app: Callable[..., App]) -> None:
    app = open_app("refer", audited=True)
    app.records.leaked = next(r for r in app.records.resources if r["resourceType"] == "Observation") | {
        "id": "leaked", "subject": {"reference": "Patient/somebody-else"},
    }  # fmt: skip
    app.open()
    told = [(one.kind, one.outcome) for one in app.ledger.events() if one.kind in ("wrong-patient", "page-view")]
    assert told == [("wrong-patient", "refused"), ("page-view", "failed")]


@pytest.mark.parametrize("creatinine", [2.3, 3.5], ids=["another risk", "no risk any more"])
def test_a_chart_that_changed_since_is_not_saved_over_what_the_reader_saw(
    creatinine: float, open_app: Callable[..., App]
) -> None:
    app = open_app("refer", scope=SAVE)
    shown = assessment(app)
    newest = next(one for one in app.records.resources if one["id"] == "refer-64m-creatinine-20261103")
    newest["valueQuantity"]["value"] = creatinine
    page = app.act("save", {"assessment": shown})
    assert "Not saved: the chart has changed" in page
    assert app.records.created == []
    assert ("save", "refused", {"service": SERVICE, "step": "done"}) in app.notes


@pytest.mark.proves("S11", "0 save buttons and 0 saved resources without the right to create")
def test_without_the_granted_right_there_is_no_button_and_no_save(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=READ)
    assert "Save this risk" not in app.open()
    assert "no right to save" in app.act("save", {"assessment": "anything"})
    assert app.records.created == []


def test_a_refused_save_says_so_and_shows_the_number_still(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE)
    shown = assessment(app)
    app.records.denied.add("RiskAssessment")
    page = app.act("save", {"assessment": shown})
    assert "Not saved:" in page
    assert "15.4%" in page


def test_helpful_and_not_helpful_reach_the_ledger_under_the_pages_own_id(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    app.open()
    card = view_of(app).card
    assert app.answers()[-1].card_ids == (card,)
    assert "Thank you" in app.act("feedback", {"card": card, "verdict": "helpful"})
    app.act("feedback", {"card": card, "verdict": "not-helpful", "reason": "recipient-does-not-trust"})
    told = [(one.card, one.outcome, one.reason_code, one.reason_display) for one in app.feedback()]
    assert told == [
        (card, "accepted", "helpful", None),
        (card, "overridden", "recipient-does-not-trust", "Data wrong or old"),
    ]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"verdict": "helpful"},
        {"card": CARD},
        {"card": CARD, "verdict": "x"},
        {"card": "\x00", "verdict": "helpful"},
        {"card": "not-our-card", "verdict": "helpful"},
    ],
)
def test_a_form_that_is_not_ours_is_refused_and_leaves_nothing(
    form: dict[str, str], open_app: Callable[..., App]
) -> None:
    app = open_app("refer")
    assert "15.4%" not in app.act("feedback", form, status=400)
    assert app.feedback() == []


def test_every_act_asks_the_door_for_more_than_a_cookie(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    for what in ("what-if", "save", "feedback"):
        app.act(what, {"card": CARD, "verdict": "helpful"})
        assert app.http.get(f"{app.path}/{SERVICE}/{what}").status_code == 405
    assert [path.rpartition("/")[2] for path in app.door.unsafe] == ["what-if", "save", "feedback"]


def test_a_save_that_is_cut_off_leaves_no_lock_behind() -> None:
    from cds.web.smart.saving import Saver

    class Silent:
        async def resource_json(self, query: str) -> dict[str, object]:
            return {}

        async def create(self, resource: dict[str, object], unless: str = "") -> Created:
            await asyncio.sleep(60)
            return Created("never")

    async def cut(saver: Saver) -> None:
        assessment = {"identifier": [{"value": "one"}]}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await saver.save(Silent(), assessment, "p", SAVE)

    saver = Saver()
    asyncio.run(cut(saver))
    assert saver._busy == {}


@pytest.mark.proves("R36", "6 page events in the ledger's chain, each with its user and patient")
def test_each_page_and_act_is_an_event_in_the_ledgers_chain(open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE, audited=True)
    app.act("save", {"assessment": assessment(app)})
    app.act("what-if", {"egfr": "25", "acr": "310"})
    events = [one for one in app.ledger.events() if one.kind in ("page-view", "save", "what-if")]
    assert [one.kind for one in events] == ["page-view", "save", "save", "page-view", "what-if", "page-view"]
    assert {one.outcome for one in events} == {"success"}
    assert {one.who for one in events} == {"Practitioner/dr-hale"}
    assert {one.patient for one in events} == {app.answers()[-1].patient}
