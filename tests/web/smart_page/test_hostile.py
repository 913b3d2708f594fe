"""Whatever stands in a chart is shown as text, whatever a launch lacks is named, and nothing unrecorded is shown."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from cds.errors import LedgerUnavailable, WrongPatient
from cds.web.smart import views
from cds.web.smart.banner import banner_of
from tests.cdshooks.charts import AT, Json
from tests.cdshooks.desk import SERVICE
from tests.web.smart_page.bench import READ, App
from tests.web.smart_page.markup import Markup
from tests.web.smart_page.stories import STORIES, story

OVERRIDE = "\u202e"
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "<a href=javascript:alert(1)>x</a>",
    "<style>*{display:none}</style>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    f"Ann{OVERRIDE}nnA",
    "\u2066Ann\u2069\x00\x1b[2J",
    "<!--",
    "]]><x>",
    "N" * 10_000,
)


def hostile(payload: str, name: str = "refer") -> list[Json]:
    """A story in which every text of the chart that a page shows is the payload."""
    resources = story(name)
    for one in resources:
        if one["resourceType"] == "Patient":
            one["name"] = [{"family": payload, "given": [payload]}]
            one["identifier"] = [{"type": {"coding": [{"code": "MR"}], "text": payload}, "value": payload}]
        if one["resourceType"] == "Observation" and name == "unit" and "valueQuantity" in one:
            one["valueQuantity"]["unit"] = payload
            one["valueQuantity"].pop("code", None)
    return resources


@pytest.mark.proves("S27", "13 payloads in names, identifiers and units of 2 stories: 0 active elements")
@pytest.mark.parametrize("name", ["refer", "unit"])
@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_stands_in_a_chart_is_text(payload: str, name: str, open_app: Callable[..., App]) -> None:
    app = open_app(hostile(payload, name))
    for service in (SERVICE, ""):
        html = app.open(service)
        page = Markup(html)
        assert page.active() == []
        assert page.faults == []
        assert not set(html) & {OVERRIDE, "\u2066", "\u2069", "\x00", "\x1b"}
        assert "{{" not in payload or payload in page.text
        assert len(html) < 60_000


@pytest.mark.proves("R46", "12 stories: name, birth date, age, sex, identifier and time of launch on both pages")
@pytest.mark.proves("S16", "12 stories: patient and time of launch on both pages")
@pytest.mark.parametrize("name", STORIES)
def test_every_page_says_whose_it_is_and_as_of_when(name: str, open_app: Callable[..., App]) -> None:
    patient = next(one for one in story(name) if one["resourceType"] == "Patient")
    app = open_app(name)
    for service in (SERVICE, ""):
        text = Markup(app.open(service)).text
        given, family = patient["name"][0]["given"][0], patient["name"][0]["family"]
        assert f"{given} {family}" in text
        assert patient["identifier"][0]["value"] in text
        assert f"Sex {patient['gender']}" in text
        assert "As of 22 Nov 2026 14:02 UTC" in text
        assert "Opened from the chart 22 Nov 2026 14:02 UTC" in text


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({}, ("(no name recorded)", "(birth date not recorded)", "", "not recorded")),
        ({"name": [{"text": "Ann Lee"}], "birthDate": "1962"}, ("Ann Lee", "1962", "", "not recorded")),
        (
            {"name": "Ann", "birthDate": 5, "gender": ["x"]},
            ("(no name recorded)", "(birth date not recorded)", "", "not recorded"),
        ),
        (
            {"name": [{"use": "old", "family": "Was"}, {"use": "usual", "family": "Is"}], "birthDate": "2000-02-29"},
            ("Is", "29 Feb 2000", "26 years", "not recorded"),
        ),
        (
            {
                "name": [{"given": ["A", None, 3], "family": "B"}],
                "birthDate": "1940-01-02",
                "deceasedDateTime": "2020-01-01",
            },
            ("A B", "2 Jan 1940", "79 years", "not recorded"),
        ),
    ],
)
def test_a_patient_is_named_as_far_as_the_record_does(members: Json, shown: tuple[str, ...]) -> None:
    made = banner_of({"resourceType": "Patient", "id": "p", **members}, "p", AT)
    assert (made.name, made.born, made.age, made.sex) == shown
    assert made.identifiers == (("Patient id", "p"),)


def test_a_record_number_is_chosen_before_any_other_identifier() -> None:
    identifiers = [
        {"value": "insurance-1", "type": {"text": "Member"}},
        {"value": "old-7", "use": "old", "type": {"coding": [{"code": "MR"}]}},
        {"value": "mrn-7", "type": {"coding": [{"code": "MR"}]}},
    ]
    patient = {"resourceType": "Patient", "id": "p", "identifier": identifiers}
    assert banner_of(patient, "p", AT).identifiers == (("MRN", "mrn-7"),)
    patient["identifier"] = identifiers[:1]
    assert banner_of(patient, "p", AT).identifiers == (("Member", "insurance-1"),)


def test_somebody_elses_patient_resource_is_refused() -> None:
    with pytest.raises(WrongPatient):
        banner_of({"resourceType": "Patient", "id": "q"}, "p", AT)


@pytest.mark.proves("S16", "0 of 4 URLs that name another patient are answered")
@pytest.mark.parametrize("query", ["patient=other", "patient=", "patient=refer-64m&patient=other", "patient=REFER-64M"])
def test_a_url_that_names_another_patient_is_refused(query: str, open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    response = app.http.get(f"{app.path}/{SERVICE}?{query}")
    assert response.status_code == 400
    assert "15.4" not in response.text
    assert "Quillfeather" not in response.text
    assert app.answers() == []
    assert app.http.get(f"{app.path}/{SERVICE}?patient=refer-64m").status_code == 200


@pytest.mark.proves("S11", "4 types left out of the granted scope: each named on the page, 0 numbers")
@pytest.mark.parametrize("kind", ["Observation", "Condition", "Procedure", "Encounter"])
def test_what_the_launch_may_not_read_is_named_and_no_number_is_shown(kind: str, open_app: Callable[..., App]) -> None:
    scope = " ".join(one for one in READ.split() if kind not in one)
    app = open_app("refer", scope=scope)
    text = Markup(app.open()).text
    view = msgspec.json.decode(app.answers()[-1].body, type=views.Page)
    assert view.state == "unavailable"
    assert view.numbers == ()
    assert "%" not in text
    assert f"the launch did not grant the right to read {kind}" in text
    assert "Kidney failure risk not calculated: needed data could not be read." in text
    assert "%" not in Markup(app.open("")).text


def test_what_the_ehr_does_not_deliver_is_named_as_that(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    app.records.denied.add("Procedure")
    text = Markup(app.open()).text
    assert "Procedures : the EHR did not deliver it" in text
    assert "%" not in text


def test_a_patient_that_cannot_be_read_leaves_a_page_without_anything_clinical(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    app.records.denied.add("Patient")
    page = Markup(app.open(status=412))
    assert "The patient could not be read" in page.text
    assert "15.4" not in page.text
    assert page.faults == []
    assert app.answers() == []


def test_anothers_result_in_the_chart_shows_nothing_but_that(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    app.records.leaked = {"resourceType": "Observation", "id": "theirs", "subject": {"reference": "Patient/other"}}
    text = Markup(app.open()).text
    assert "the data received are not all this patient's" in text
    assert "%" not in text


@pytest.mark.proves("PAGE", "a page that cannot be recorded is a 503 without a number")
def test_what_cannot_be_recorded_is_not_shown(open_app: Callable[..., App], monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app("refer")

    async def full(record: object) -> bytes:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(app.ledger, "record", full)
    response = app.http.get(f"{app.path}/{SERVICE}")
    page = Markup(response.text)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "15.4" not in page.text
    assert "Quillfeather" not in page.text
    assert page.faults == []
    assert app.notes == []


def test_an_unknown_service_or_file_is_not_found(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    assert "<p>There is no such page here, or it is off.</p>" in app.open("other", status=404)
    assert app.http.get("/smart/static/../app.py").status_code == 404
    assert app.http.get("/smart/static/views.py").status_code == 404


def test_a_static_file_is_sent_again_only_when_it_changed(open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    first = app.http.get("/smart/static/page.css")
    again = app.http.get("/smart/static/page.css", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert first.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.proves("R44", "every page of 12 stories carries the framing EHR's own policy, no-store and no referrer")
@pytest.mark.parametrize("name", STORIES)
def test_a_page_carries_its_policy_and_is_kept_nowhere(name: str, open_app: Callable[..., App]) -> None:
    app = open_app(name)
    for path in (app.path, f"{app.path}/{SERVICE}"):
        headers = app.http.get(path).headers
        assert "frame-ancestors https://ehr.example" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "x-frame-options" not in headers


def test_the_age_of_a_result_is_told_in_the_unit_that_fits() -> None:
    from cds.web.smart.making import ago

    told = [ago(AT - timedelta(days=days), AT) for days in (0, 1, 6, 20, 90, 400, 900)]
    assert told == ["today", "1 day ago", "6 days ago", "2 weeks ago", "2 months ago", "13 months ago", "2 years ago"]
