"""A page says no more than is known: of bounds, of hypothetical numbers, of days, and where nothing is proposed."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from cds.settings import read_settings
from cds.site import load_site
from cds.web.smart import views
from models.kfre.equation import kidney_failure_risk
from tests.cdshooks.charts import CREATININE, UACR, Json, condition, creatinine_for, kidney, lab, person
from tests.cdshooks.desk import SERVICE
from tests.cdshooks.wards import vitals
from tests.web.smart_page.bench import BASE, App, Records
from tests.web.smart_page.markup import Markup

Open = Callable[..., App]
LIVER = [lab("1920-8", 80, "U/L", ago=5), lab("1742-6", 36, "U/L", ago=5), lab("777-3", 200, "10*9/L", ago=5)]
PALLIATIVE = condition("Z51.5", "http://hl7.org/fhir/sid/icd-10-cm", ago=20)


def seen(app: App, html: str | None = None) -> tuple[str, views.Page]:
    text = Markup(html or app.open()).text
    return text, msgspec.json.decode(app.answers()[-1].body, type=views.Page)


def bounded(comparator: str, value: float) -> Json:
    return lab(UACR, None, None, valueQuantity={"value": value, "comparator": comparator, "unit": "mg/g"})


AT_LEAST, AT_MOST = bounded(">", 300), bounded("<", 30)


def told(view: views.Page) -> dict[tuple[str, float], str]:
    return {(number.years, mark.percent): mark.told for number in view.numbers for mark in number.marks}


@pytest.mark.proves("PAGE", "a threshold that a bound leaves open is told as open: 2 bounds, 3 thresholds each")
def test_a_threshold_that_a_bound_leaves_open_is_told_as_open(open_app: Open) -> None:
    text, view = seen(open_app(kidney(28, None, AT_LEAST)))
    assert told(view) == {("5", 5): "above", ("2", 10): "unknown", ("2", 40): "unknown"}
    assert "Cannot tell whether it is above 10%" in text
    assert "Not above" not in text
    text, view = seen(open_app(kidney(18, None, AT_MOST)))
    assert told(view) == {("5", 5): "unknown", ("2", 10): "unknown", ("2", 40): "not above"}
    assert "Cannot tell whether it is above 5%" in text


def test_a_bound_reads_the_same_in_percent_in_people_and_in_figures(open_app: Open) -> None:
    text, view = seen(open_app(kidney(28, None, AT_LEAST)))
    two = view.numbers[1]
    assert (two.bound, two.percent, two.people, two.figures) == (
        "at least",
        "9.8%",
        "at least 9 in 100 people like this",
        9,
    )
    assert two.people in text
    assert view.standing == "KDIGO G4, A3"
    assert view.terms is not None
    assert "at least 300 mg/g" in [term.value for term in view.terms.terms]
    _, view = seen(open_app(kidney(18, None, AT_MOST)))
    assert (view.numbers[0].people, view.numbers[0].figures) == ("at most 30 in 100 people like this", 30)
    assert view.standing == "KDIGO G4, A1"


def test_a_hypothetical_number_keeps_the_bound_that_nobody_changed(open_app: Open) -> None:
    app = open_app(kidney(18, None, AT_MOST))
    text, view = seen(app, app.act("what-if", {"egfr": "12", "acr": "30"}))
    assert view.what_if is not None
    assert {number.bound for number in view.what_if.numbers} == {"at most"}
    assert f"at most {view.what_if.numbers[0].percent}" in text
    assert view.what_if.used == ("eGFR 12 mL/min/1.73 m²", "Urine ACR at most 30 mg/g (the patient's own)")
    text, view = seen(app, app.act("what-if", {"egfr": "18", "acr": "20"}))
    assert view.what_if is not None
    assert {number.bound for number in view.what_if.numbers} == {""}


@pytest.mark.parametrize(
    ("own", "form", "used"),
    [
        ((34.4, 310), {"egfr": "34", "acr": "1000"}, (34.0, 1000.0)),
        ((34.4, 8000), {"egfr": "30", "acr": "5000"}, (30.0, 5000.0)),
        ((34.4, 8000), {"egfr": "30", "acr": "8000"}, (30.0, 8000.0)),
        ((34.4, 310.4), {"egfr": "30", "acr": "310"}, (30.0, 310.0)),
    ],
)
@pytest.mark.proves("PAGE", "4 what-ifs are the published equation of exactly the numbers that were sent")
def test_a_what_if_uses_exactly_what_was_sent_and_says_so(
    own: tuple[float, float], form: dict[str, str], used: tuple[float, float], open_app: Open
) -> None:
    app = open_app(kidney(*own))
    _, view = seen(app, app.act("what-if", form))
    assert view.what_if is not None
    assert view.what_if.numbers[0].probability == kidney_failure_risk(4, "north-america", 5, 64, True, *used)
    assert view.what_if.used == (f"eGFR {used[0]:g} mL/min/1.73 m²", f"Urine ACR {used[1]:g} mg/g")


def test_a_form_shows_the_patients_own_number_even_where_it_is_implausible(open_app: Open) -> None:
    _, view = seen(open_app(kidney(34, 8000)))
    assert [(knob.name, knob.high, knob.value) for knob in view.knobs] == [
        ("egfr", "59", "34"),
        ("acr", "8000", "8000"),
    ]


def many() -> list[Json]:
    labs = [lab(CREATININE, creatinine_for(30 - n * 0.1), "mg/dL", ago=8 + n * 10) for n in range(30)]
    return [person(64), lab(UACR, 300, "mg/g", ago=5), lab(UACR, 300, "mg/g", ago=700), *labs]


def test_days_that_nobody_scored_are_told_as_such(open_app: Open) -> None:
    app = open_app(many())
    html = app.open()
    text, view = seen(app, html)
    assert view.course is not None
    assert [day.scored for day in view.course.days] == [False] * 6 + [True] * 25
    assert f"Days before {view.course.days[6].date} are not scored." in text
    assert html.count("<td>not scored</td>") == 6


def dated(written: str, egfr: float = 28) -> Json:
    return lab(CREATININE, creatinine_for(egfr), "mg/dL", effectiveDateTime=written, id="dated")


def test_a_result_of_today_without_a_time_stands_once_and_not_after_now(open_app: Open) -> None:
    app = open_app(kidney(34, 300, dated("2026-11-22")))
    _, view = seen(app)
    assert view.course is not None
    *_, before, now = view.course.days
    assert (now.date, now.shown, now.at) == ("22 Nov 2026", "28", app.now.timestamp())
    assert now.percent == view.numbers[0].percent
    assert before.date == "2 Nov 2026"
    assert [day.at for day in view.course.days] == sorted(day.at for day in view.course.days)


def test_a_result_of_some_day_of_the_month_is_no_fact_of_an_earlier_day_of_it(open_app: Open) -> None:
    _, without = seen(open_app(kidney(34, 300)))
    _, view = seen(open_app(kidney(34, 300, dated("2026-11"))))
    assert view.course is not None
    assert without.course is not None
    then = {day.date: day.percent for day in view.course.days}
    assert then["2 Nov 2026"] == next(d.percent for d in without.course.days if d.date == "2 Nov 2026")
    assert view.course.days[-1].percent != then["2 Nov 2026"]


def test_where_nothing_is_proposed_no_threshold_calls_for_anything(open_app: Open) -> None:
    text, view = seen(open_app(kidney(14, 2000, PALLIATIVE)))
    assert view.headline.startswith("Palliative care is recorded: nothing is proposed.")
    assert {mark.action for number in view.numbers for mark in number.marks} == {""}
    shown = text.partition("What it rests on")[0]
    assert "Above 40%" in shown
    assert "Plan dialysis" not in shown
    assert "referral" not in shown


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        (kidney(14, None, PALLIATIVE), "no urine albumin-creatinine ratio in the last 24 months"),
        (
            kidney(14, 300, PALLIATIVE, condition("Z94.0", "http://hl7.org/fhir/sid/icd-10-cm")),
            "kidney transplant recorded 18 Oct 2025",
        ),
    ],
)
def test_the_reason_why_there_is_no_risk_stands_beside_palliative_care(
    resources: list[Json], why: str, open_app: Open
) -> None:
    app = open_app(resources)
    _, view = seen(app)
    assert view.headline.startswith("Palliative care is recorded")
    assert view.headline.endswith(f"Kidney failure risk not calculated: {why}.")
    assert why in Markup(app.open("")).text


@pytest.mark.parametrize("more", [(), (PALLIATIVE,)], ids=["with a card", "silent"])
def test_a_variant_that_falls_back_says_so_with_a_card_and_without(more: tuple[Json, ...], open_app: Open) -> None:
    text, view = seen(open_app(kidney(28, 300, *more), service={"variant": "kfre-8"}))
    needs = (
        "The 8-variable equation needs albumin, phosphate, bicarbonate, calcium; the kfre-4 equation is shown instead."
    )
    assert needs in view.notes
    assert "Kidney Failure Risk Equation (4-variable, North America)." in text


@pytest.mark.parametrize(
    ("more", "gone"),
    [
        (lab(CREATININE, 5.0, "furlongs", ago=40, id="odd"), "acute kidney injury"),
        (lab("82810-3", "maybe", None, ago=10), "pregnancy"),
    ],
    ids=["a creatinine that cannot be read", "a pregnancy status that cannot be understood"],
)
def test_what_is_left_open_is_not_listed_as_not_found(more: Json, gone: str, open_app: Open) -> None:
    _, view = seen(open_app(kidney(34, 310, more, age=35, sex="female")))
    assert gone not in view.excluded
    assert len(view.excluded) == 4


def test_a_creatinine_of_a_patient_without_a_recorded_sex_blames_the_sex(open_app: Open) -> None:
    resources: list[Any] = [person(gender=None), lab(CREATININE, 2.1, "mg/dL"), lab(UACR, 310, "mg/g")]
    _, view = seen(open_app(resources))
    why = next(line.why for line in view.inputs if line.name == "Creatinine or eGFR")
    assert why == "creatinine or eGFR of 2.1 mg/dL (2 Nov 2026) gives no eGFR: sex is not recorded"


@pytest.mark.parametrize(
    ("written", "age"), [("2025", "up to 22 months ago"), ("2026-10", "up to 7 weeks ago"), ("2026-11-22", "today")]
)
def test_a_result_without_a_day_is_as_old_as_it_may_be(written: str, age: str, open_app: Open) -> None:
    ratio = lab(UACR, 300, "mg/g", effectiveDateTime=written)
    _, view = seen(open_app(kidney(30, None, ratio)))
    assert next(line.age for line in view.inputs if line.name.startswith("Urine ACR")) == age


@pytest.mark.parametrize(
    ("service", "resources", "lead", "head"),
    [
        (SERVICE, kidney(28, 300), "Each value multiplies the hazard;", "Effect on the hazard"),
        ("liver-fibrosis", LIVER, "whose index is 1.26. Each value multiplies FIB-4;", "Effect on FIB-4"),
        ("deterioration", vitals(gcs=14), "What each item gives for NEWS2.", "Points"),
    ],
    ids=["hazard", "value", "points"],
)
def test_what_moves_a_number_is_told_on_its_own_scale(
    service: str, resources: list[Json], lead: str, head: str, open_app: Open
) -> None:
    held = resources if service == SERVICE else [person(64), *resources]
    records = Records(held)
    stages, region = {service: {"stage": "live"}}, {"kfre": {"region": "north-america"}}
    wanted = read_settings(services=stages, models=region, fhir_servers=(BASE,), answer_seconds=20.0)
    app = open_app(held, records=records, served=load_site(settings=wanted, transport=httpx.MockTransport(records)))
    text, view = seen(app, app.open(service))
    assert view.terms is not None
    assert lead in text
    assert head in text
    assert "whose risk is" in text or not view.terms.risk
    assert "whose risk is ." not in text
