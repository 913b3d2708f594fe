"""Every story's page says what the card and the command line say, and nothing that the ledger does not hold."""

import gzip
import json
import re
from collections.abc import Callable

import msgspec
import pytest

from cds.web.smart import views
from cds.web.smart.rendering import static_files
from tests.cdshooks.charts import Json
from tests.cdshooks.desk import SERVICE, Desk
from tests.cli.command import AT, PATIENTS, bedside
from tests.web.smart_page.bench import SAVE, App
from tests.web.smart_page.markup import Markup
from tests.web.smart_page.stories import STORIES, story

SHOWN = {"show_low_risk": True, "show_out_of_domain": True}
AXES = {"0%", "10%", "20%", "25%", "50%", "100%", "0", "7.5", "15", "30", "60", "1%", "2%", "2.5%"}
"""What stands on the drawings' axes and nowhere else."""
SCORED = {"high", "low", "refer", "si-units", "single"}


def view_of(app: App) -> views.Page:
    """The page as the ledger has it."""
    return msgspec.json.decode(app.answers()[-1].body, type=views.Page)


@pytest.fixture(scope="module")
def scores() -> dict[str, Json]:
    """What `bedside score` says of each patient of the export, by patient."""
    told = bedside("score", str(PATIENTS), "--region", "north-america", "--json", "--at", AT)
    assert told.returncode == 0, told.stderr
    return {line["patient"]: line for line in map(json.loads, told.stdout.splitlines())}


@pytest.mark.proves("PAGE", "12 stories: the page's sentence, numbers and inputs are the card's, word for word")
@pytest.mark.parametrize("name", STORIES)
def test_the_page_says_what_the_card_says(
    name: str, open_app: Callable[..., App], open_desk: Callable[..., Desk]
) -> None:
    card = open_desk(service=SHOWN).card(story(name), of=_id(name))
    app = open_app(name)
    text, view = Markup(app.open()).text, view_of(app)
    assert view.headline == card["summary"]
    assert card["summary"] in text
    detail = re.sub(r"\\(.)", r"\1", card["detail"])
    for line in view.inputs:
        if view.state == "scored" and line.name not in ("Age", "Sex"):
            shown = f"{line.value}, {line.note}" if line.note else line.value
            assert f"| {line.name} | {shown} | {line.date} |" in detail
    for number in view.numbers:
        bound = f"{number.bound} " if number.bound else ""
        assert f"{number.years} years: {bound}{number.percent}" in detail
        assert number.percent in text
        assert number.people in text
    for step in view.steps:
        assert not step.advice or f"**Consider:** {step.advice}." in detail
        assert [guide.url for guide in step.guides] == [
            link["url"] for link in card["links"] if link["type"] == "absolute"
        ]
    assert not view.excluded or f"**Checked, not found:** {', '.join(view.excluded)}. Not valid" in detail


@pytest.mark.parametrize("name", STORIES)
def test_the_page_shows_the_number_that_the_command_line_prints(
    name: str, open_app: Callable[..., App], scores: dict[str, Json]
) -> None:
    app = open_app(name)
    app.open()
    told, view = scores[_id(name)], view_of(app)
    assert (view.state == "scored") == (name in SCORED) == (told["outcome"] == "risk")
    if name in SCORED:
        estimates = {f"{e['horizon']:g}": e["probability"] for e in told["estimates"]}
        assert {number.years: number.probability for number in view.numbers} == estimates
    else:
        assert told["text"] in view.headline or told["reason"] == "creatinine-rise"


@pytest.mark.proves("PAGE", "every sentence, number and date of 12 pages stands in the ledger's record of that page")
@pytest.mark.parametrize("name", STORIES)
def test_nothing_of_the_patient_is_shown_that_the_ledger_does_not_hold(name: str, open_app: Callable[..., App]) -> None:
    app = open_app(name, scope=SAVE)
    page = Markup(app.open())
    [kept] = app.answers()
    held = " ".join(_strings(json.loads(kept.body)))
    assert (kept.hook, kept.service, kept.status) == ("smart-page", SERVICE, 200)
    assert kept.patient.endswith(f"Patient/{_id(name)}")
    numbers = r"\d+(?:\.\d+)?%?"
    written = set(re.findall(numbers, " ".join(page.written)))
    assert written <= set(re.findall(numbers, held))
    drawn = set(re.findall(numbers, page.text)) - written
    assert drawn <= AXES


@pytest.mark.parametrize("name", STORIES)
def test_a_page_is_well_formed_light_and_has_nothing_that_could_run(name: str, open_app: Callable[..., App]) -> None:
    app = open_app(name, scope=SAVE)
    for service in (SERVICE, ""):
        html = app.open(service)
        page = Markup(html)
        assert page.faults == []
        assert page.active() == []
        files = sum(len(gzip.compress(body)) for body, _ in static_files().values())
        assert len(gzip.compress(html.encode())) + files < 60_000


@pytest.mark.parametrize("name", STORIES)
def test_a_page_without_cookies_is_reached_by_posting_the_ticket(name: str, open_app: Callable[..., App]) -> None:
    app = open_app(name, by_cookie=False)
    response = app.http.post(f"{app.path}/{SERVICE}", data={"ticket": "ticket-0123456789"})
    page = Markup(response.text)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert not [link for link in links if link and link.startswith("/smart/app")]
    posted = [attributes.get("action") for tag, attributes in page.tags if tag == "form"]
    assert app.path in posted


def test_the_icon_array_fills_as_many_figures_as_the_words_say(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    page = Markup(app.open())
    figures = [attributes.get("class") for tag, attributes in page.tags if tag == "use"]
    assert figures == ["on"] * 15 + ["off"] * 85 + ["on"] * 5 + ["off"] * 95
    named = [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert "15 of 100 figures are filled" in named


def test_the_overview_has_each_live_service_with_its_number_or_reason(open_app: Callable[..., App]) -> None:
    text = Markup(open_app("refer").open("")).text
    assert "15.4% within 5 years" in text
    assert "Kidney failure risk 15.4% in 5 years, above the 5% referral threshold" in text
    assert "does not apply: dialysis recorded 20 Nov 2026" in Markup(open_app("dialysis").open("")).text


@pytest.mark.parametrize(("denied", "outcome"), [(set(), "success"), ({"Observation"}, "failed")], ids=["read", "not"])
def test_the_overview_is_noted_as_it_was_shown(denied: set[str], outcome: str, open_app: Callable[..., App]) -> None:
    app = open_app("refer", audited=True)
    app.records.denied = denied
    page = app.open("")
    assert ("15.4%" in page) is (outcome == "success")
    told = [(one.outcome, dict(one.detail)) for one in app.ledger.events() if one.kind == "page-view"]
    assert told == [(outcome, {"page": "overview"})]


def test_a_service_in_shadow_has_no_page(open_app: Callable[..., App]) -> None:
    app = open_app("refer", service={"stage": "shadow"})
    assert "15.4" not in app.open(status=404)
    assert app.answers() == []


def _id(name: str) -> str:
    return str(next(one["id"] for one in story(name) if one["resourceType"] == "Patient"))


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [str(value)]
