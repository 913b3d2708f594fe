"""A page of a service with several models shows, and saves, what its card is about, and the other scores beside it."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from cds.settings import read_settings
from cds.site import load_site
from cds.web.smart import views
from tests.cdshooks.charts import ID, Json, condition, lab, person
from tests.cdshooks.wards import admissions, admitted, operation
from tests.models.score_charts import APIXABAN, taking
from tests.web.smart_page.bench import BASE, SAVE, App, Records
from tests.web.smart_page.markup import Markup

Open = Callable[..., App]
STROKE, READMISSION = "stroke-and-bleeding", "readmission"
CM = "http://hl7.org/fhir/sid/icd-10-cm"
FIBRILLATING = [person(70, "female"), condition("I48.91", CM, ago=400), condition("I10", CM, ago=500)]
KINDS = (
    "MedicationRequest",
    "MedicationStatement",
    "MedicationAdministration",
    "AllergyIntolerance",
    "DeviceUseStatement",
)
SCOPE = " ".join([SAVE, *(f"patient/{kind}.rs" for kind in KINDS)])


def opened(open_app: Open, held: list[Json], service: str, **settings: Any) -> App:
    records, live = Records(held), {service: {"stage": "live", **settings}}
    wanted = read_settings(services=live, fhir_servers=(BASE,), answer_seconds=20.0)
    served = load_site(settings=wanted, transport=httpx.MockTransport(records))
    return open_app(held, records=records, served=served, scope=SCOPE, encounter="now")


def seen(app: App, service: str) -> views.Page:
    app.open(service)
    return msgspec.json.decode(app.answers()[-1].body, type=views.Page)


@pytest.mark.parametrize(("score", "name"), [("cha2ds2-va", "CHA2DS2-VA"), ("cha2ds2-vasc", "CHA2DS2-VASc")])
def test_a_stroke_page_is_about_the_score_that_the_site_chose(score: str, name: str, open_app: Open) -> None:
    app = opened(open_app, FIBRILLATING, STROKE, score=score)
    view = seen(app, STROKE)
    assert view.headline.startswith(f"{name} ")
    assert view.scores[0].name == name
    assert view.about is not None
    assert view.about.model == score
    assert f"{name}: " in Markup(app.open("")).text
    app.act("save", {"assessment": view.save}, service=STROKE)
    assert saved(app)[0] == score


def test_a_readmission_page_shows_both_scores(open_app: Open) -> None:
    app = opened(open_app, at_high_risk(), READMISSION)
    view = seen(app, READMISSION)
    assert view.headline.startswith("HOSPITAL is 10: high")
    assert [(score.name, score.shown) for score in view.scores] == [("HOSPITAL", "10 points"), ("LACE", "7 points")]
    assert {"Hemoglobin", "Charlson"} < {line.name for line in view.inputs}
    page = Markup(app.open(READMISSION)).text
    assert "The scores" in page
    assert "What each item gives for HOSPITAL." in page, "and not to the other"
    overview = Markup(app.open("")).text
    assert "HOSPITAL: 10 points" in overview
    assert "LACE: 7 points" in overview
    assert view.steps[0].advice.startswith("arrange early follow-up")


def at_high_risk() -> list[Json]:
    blood = [lab("718-7", 9, "g/dL", ago=1), lab("2951-2", 130, "mmol/L", ago=1)]
    return [person(), admitted(6, service="OMED"), *blood, operation(), *admissions(2)]


def saved(app: App) -> list[str]:
    return [assessment["method"]["coding"][0]["code"] for assessment in app.records.created]


def test_every_score_that_a_page_shows_is_saved_once(open_app: Open) -> None:
    app = opened(open_app, at_high_risk(), READMISSION)
    view = seen(app, READMISSION)
    assert view.saves == ("HOSPITAL score", "LACE")
    assert "A RiskAssessment each of HOSPITAL score and LACE" in Markup(app.open(READMISSION)).text
    assert "Saved to the chart." in app.act("save", {"assessment": view.save}, service=READMISSION)
    assert saved(app) == ["hospital", "lace"]
    assert len({assessment["identifier"][0]["value"] for assessment in app.records.created}) == 2
    assert "These scores are in the chart already." in app.act("save", {"assessment": view.save}, service=READMISSION)
    assert saved(app) == ["hospital", "lace"]


def test_what_was_saved_before_a_failure_is_told_and_not_saved_again(open_app: Open) -> None:
    app = opened(open_app, at_high_risk(), READMISSION)
    shown = seen(app, READMISSION).save
    app.records.at_create = lambda: app.records.denied.add("RiskAssessment")
    told = app.act("save", {"assessment": shown}, service=READMISSION)
    assert "1 of 2 scores is in the chart. The next: Not saved:" in told
    app.records.at_create, app.records.denied = None, set()
    assert "Saved to the chart." in app.act("save", {"assessment": shown}, service=READMISSION)
    assert saved(app) == ["hospital", "lace"]


def test_one_of_two_identifiers_is_not_what_the_reader_saw(open_app: Open) -> None:
    app = opened(open_app, at_high_risk(), READMISSION)
    first = seen(app, READMISSION).save.partition(" ")[0]
    assert "Not saved: the chart has changed" in app.act("save", {"assessment": first}, service=READMISSION)
    assert saved(app) == []


def test_a_readmission_page_of_a_low_score_proposes_nothing(open_app: Open) -> None:
    view = seen(opened(open_app, [person(), admitted(3)], READMISSION), READMISSION)
    assert view.headline == "LACE is 6, below 10."
    assert [step.advice for step in view.steps] == [""]


def test_a_score_that_stands_beside_another_is_not_replaced_by_it(open_app: Open) -> None:
    apixaban = taking(APIXABAN, id="m1", subject={"reference": f"Patient/{ID}"})
    view = seen(opened(open_app, [*FIBRILLATING, apixaban], STROKE), STROKE)
    assert not view.steps
    [note] = [note for note in view.notes if "HAS-BLED" in note]
    assert note.startswith("HAS-BLED is not calculated: ")
    assert not any("shown instead" in note for note in view.notes)


def test_what_is_not_recorded_and_counts_as_absent_is_not_told_as_unused(open_app: Open) -> None:
    view = seen(opened(open_app, FIBRILLATING, STROKE), STROKE)
    told = {line.name: (line.value, line.why) for line in view.inputs}
    assert told["Age"] == ("70 years", "")
    assert told["Diabetes"] == ("none recorded", "")
    assert told["Hypertension"] == ("yes", "")


def test_a_cut_point_that_is_not_reached_calls_for_nothing(open_app: Open) -> None:
    hospital, lace = seen(opened(open_app, at_high_risk(), READMISSION), READMISSION).scores
    assert [(mark.told, bool(mark.action)) for mark in hospital.marks] == [("above", True)]
    assert [(mark.told, mark.action) for mark in lace.marks] == [("not above", "")]
