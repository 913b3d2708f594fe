"""CDS Hooks, section G: every way in which a call can end, and what the ledger keeps of it."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from models.kfre.model import Kfre4
from tests.cdshooks.broken import CANARY, MODELS, failing, with_models, with_service
from tests.cdshooks.charts import CREATININE, UACR, Json, condition, kidney, lab, person
from tests.cdshooks.desk import PATH, Desk, outcome, site, with_key, without
from tests.cdshooks.ehr import BASE, TOKEN, Ehr, breaks, status

Open = Callable[..., Desk]
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
TODAY = [lab(CREATININE, 2.1, "mg/dL")]


def chart_call(*resources: Json, **members: Any) -> Callable[[Desk], Json]:
    return lambda desk: desk.call(resources, **members)


SILENCE: dict[str, tuple[list[Json], str | None]] = {
    "low risk": (kidney(48, 30), None),
    "eGFR 60 and above": (kidney(75, 30), "egfr-60-or-above"),
    "nothing known, not eligible": ([person()], "egfr-never-recorded"),
    "under 18": (kidney(age=17, chronic=False), "age"),
    "over 110": (kidney(age=111), "age"),
    "no birth date": ([{k: v for k, v in r.items() if k != "birthDate"} for r in kidney()], "age"),
    "sex unknown": ([r | ({"gender": "unknown"} if r["resourceType"] == "Patient" else {}) for r in kidney()], "sex"),
    "deceased": ([person(deceasedBoolean=True), *kidney()[1:]], "deceased"),
    "transplant": (kidney(34, 310, condition("Z94.0", ICD)), "kidney-transplant"),
    "dialysis": (kidney(34, 310, condition("Z99.2", ICD, ago=20)), "dialysis"),
    "ESRD": (kidney(16, 310, condition("N18.6", ICD)), "esrd"),
    "pregnant": ([*kidney(34, 310, age=30, sex="female"), condition("77386006", ago=60)], "pregnancy"),
    "acute kidney injury": (kidney(34, 310, condition("N17.9", ICD, ago=20)), "aki"),
}

CORRECTABLE: dict[str, tuple[list[Json], str, str]] = {
    "no urine albumin": (
        kidney(34, None),
        "acr-never-recorded",
        "no urine albumin-creatinine ratio in the last 24 months",
    ),
    "no unit": (kidney(34, 35, unit=None), "acr-unit-not-accepted", "urine ACR of 35 (2 Nov 2026) has no unit"),
    "a unit unknown": (kidney(34, 35, unit="mg/L"), "acr-unit-not-accepted", "has a unit that is not accepted"),
    "no creatinine of a year": (
        [person(), lab(CREATININE, 2.0, "mg/dL", ago=400), lab(UACR, 310, "mg/g"), condition("433144002")],
        "egfr-too-old",
        "no creatinine or eGFR in the last 12 months",
    ),
}

UNAVAILABLE: dict[str, tuple[Callable[[Desk, Ehr], Json], str, tuple[str, ...]]] = {}


def unavailable(name: str, code: str, *keys: str) -> Callable[[Any], Any]:
    def kept(make: Callable[[Desk, Ehr], Json]) -> Callable[[Desk, Ehr], Json]:
        UNAVAILABLE[name] = (make, code, keys)
        return make

    return kept


def _fetching(desk: Desk, ehr: Ehr) -> Json:
    ehr.resources = kidney()
    return without(desk.call(kidney()), "uacr") | {"fhirServer": BASE, "fhirAuthorization": TOKEN}


@unavailable("key omitted, nothing to fetch from", "incomplete", "uacr")
def _omitted(desk: Desk, ehr: Ehr) -> Json:
    return without(desk.call(kidney()), "uacr")


@unavailable("OperationOutcome", "incomplete", "conditions")
def _failed(desk: Desk, ehr: Ehr) -> Json:
    return with_key(
        desk.call(kidney()), "conditions", {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}
    )


@unavailable("timeout", "incomplete", "uacr")
def _timeout(desk: Desk, ehr: Ehr) -> Json:
    ehr.faults["Observation"] = breaks(httpx.ReadTimeout)
    return _fetching(desk, ehr)


@unavailable("401", "incomplete", "uacr")
def _unauthorized(desk: Desk, ehr: Ehr) -> Json:
    ehr.faults["Observation"] = status(401)
    return _fetching(desk, ehr)


@unavailable("403", "incomplete", "uacr")
def _forbidden(desk: Desk, ehr: Ehr) -> Json:
    ehr.faults["Observation"] = status(403)
    return _fetching(desk, ehr)


@unavailable("another patient", "conflict")
def _another(desk: Desk, ehr: Ehr) -> Json:
    return with_key(desk.call(kidney()), "uacr", lab(UACR, 310, "mg/g", of="p2"))


@unavailable("no patient", "incomplete", "patient")
def _nobody(desk: Desk, ehr: Ehr) -> Json:
    return with_key(desk.call(kidney()), "patient", None)


@unavailable("token for another patient", "conflict")
def _token(desk: Desk, ehr: Ehr) -> Json:
    return desk.call(kidney()) | {"fhirServer": BASE, "fhirAuthorization": TOKEN | {"patient": "p2"}}


@pytest.mark.proves("R51", "13 charts that are not eligible, low risk or out of domain: 200 and no card")
@pytest.mark.parametrize("row", SILENCE)
def test_c83_not_eligible_low_risk_and_out_of_domain_are_silent(desk: Desk, row: str) -> None:
    resources, reason = SILENCE[row]
    response = desk.post(desk.call(resources))
    assert (response.status_code, response.content) == (200, b'{"cards":[]}')
    kept = desk.last()
    assert (kept.status, kept.kind, kept.missing) == (200, "silent", ())
    assert kept.scores[0].reason == reason
    assert kept.scores[0].outcome == ("risk" if reason is None else "not-scored")


@pytest.mark.proves("R51", "4 charts that a clinician can correct: one info card that names what is missing")
@pytest.mark.parametrize("row", CORRECTABLE)
def test_c83_what_a_clinician_can_correct_is_one_info_card(desk: Desk, row: str) -> None:
    resources, reason, text = CORRECTABLE[row]
    card = desk.card(resources)
    assert (card["indicator"], text in card["summary"]) == ("info", True)
    assert card["summary"].startswith("Kidney failure risk not calculated: ")
    assert (desk.last().kind, desk.last().scores[0].reason) == ("card", reason)


@pytest.mark.proves("R51", "8 ways in which data cannot be had or conflict: 412, nothing shown")
@pytest.mark.parametrize("row", UNAVAILABLE)
def test_c83_what_could_not_be_had_or_is_in_conflict_is_412(open_desk: Open, ehr: Ehr, row: str) -> None:
    desk = open_desk(fhir_servers=(BASE,))
    make, code, keys = UNAVAILABLE[row]
    response = desk.post(make(desk, ehr))
    assert (response.status_code, outcome(response)["code"]) == (412, code)
    assert [e for e in outcome(response).get("expression", []) if e.startswith("prefetch")] == [
        f"prefetch.{key}" for key in keys
    ]
    kept = desk.last()
    assert (kept.status, kept.kind, kept.missing, kept.cards, kept.scores) == (412, "unavailable", keys, b"[]", ())
    assert kept.body == response.content


@pytest.mark.proves("R51", "7 broken models: 500 with a correlation id, nothing shown")
@pytest.mark.proves("R25", "NaN, infinity, 1.0000001, -0.1 and no estimate: no card")
@pytest.mark.parametrize("broken", MODELS)
def test_c83_a_model_that_breaks_is_500_under_an_id(
    open_desk: Open, broken: type[Kfre4], capfd: pytest.CaptureFixture[str]
) -> None:
    desk = open_desk(with_models(site(), kfre_4=broken))
    response = desk.post(desk.call(kidney()))
    issue = outcome(response)
    assert (response.status_code, issue["code"]) == (500, "exception")
    assert issue["diagnostics"] == f"correlation id {desk.last().id}"
    assert (desk.last().status, desk.last().kind, desk.last().cards) == (500, "failed", b"[]")
    assert {s.outcome for s in desk.last().scores} == {"failed"}
    logged = capfd.readouterr()
    assert desk.last().id in logged.out + logged.err
    assert CANARY not in response.text + logged.out + logged.err + desk.metrics()


def test_c83_a_service_that_breaks_is_500_and_says_nothing_of_why(
    open_desk: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    desk = open_desk(with_service(site(), failing))
    response = desk.post(desk.call(kidney()))
    assert (response.status_code, desk.last().kind) == (500, "failed")
    said = capfd.readouterr()
    assert CANARY not in response.text + said.out + said.err


@pytest.mark.proves("R51", "overload: 503 with Retry-After, nothing recorded")
def test_c83_too_many_calls_at_once_is_503(desk: Desk) -> None:
    desk.state.in_progress = desk.site.settings.at_once
    response = desk.post(desk.call(kidney()))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert outcome(response)["code"] == "throttled"
    assert desk.answers() == []
    assert 'bedside_refused_requests_total{status="503"} 1.0' in desk.metrics()
    desk.state.in_progress = 0
    assert desk.post(desk.call(kidney())).status_code == 200
    assert desk.state.in_progress == 0


@pytest.mark.proves("R51", "draining: 503 with Retry-After")
def test_c83_draining_is_503(desk: Desk) -> None:
    desk.state.draining = True
    for path in (PATH, f"{PATH}/feedback"):
        response = desk.post(desk.call(kidney()), path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")


def test_c83_an_answer_that_cannot_be_recorded_is_not_given(desk: Desk) -> None:
    desk.ledger.close()
    response = desk.post(desk.call(kidney()))
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert "Kidney" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("DELETE", "/cds-services", 405),
        ("POST", "/cds-services", 405),
        ("GET", f"{PATH}/feedback", 405),
        ("PATCH", "/health/live", 405),
        ("GET", "/nothing", 404),
        ("GET", f"{PATH}/x/y", 404),
    ],
)
def test_c83_wrong_methods_and_addresses(desk: Desk, method: str, path: str, code: int) -> None:
    response = desk.http.request(method, path)
    assert response.status_code == code
    assert outcome(response)["severity"] == "error"
    if code == 405:
        assert response.headers["allow"]


def test_c84_every_failure_is_an_operation_outcome_with_a_fitting_code(desk: Desk) -> None:
    call = desk.call(kidney())
    large = json.dumps(call | {"pad": "x" * 2_100_000})
    found = {
        400: desk.post(b"{"),
        404: desk.post(call, "/cds-services/x"),
        405: desk.http.put(PATH),
        412: desk.post(without(call, "uacr")),
        413: desk.post(large),
        415: desk.post(call, content_type="text/html"),
    }
    codes = {400: "invalid", 404: "not-found", 405: "invalid", 412: "incomplete", 413: "too-long", 415: "not-supported"}
    for status_, response in found.items():
        assert response.status_code == status_
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert (outcome(response)["severity"], outcome(response)["code"]) == ("error", codes[status_])
        assert outcome(response)["details"]["text"]
        OperationOutcome.model_validate(response.json())


NAMES = ["Quillfeather-canary", "1962-06-15", "MRN-canary-77", "note-canary", "Practitioner/doc-canary"]


def test_c84_nothing_of_a_patient_is_in_errors_logs_or_metrics(
    open_desk: Open, ehr: Ehr, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    desk = open_desk(fhir_servers=(BASE,))
    patient = person(birthDate="1962-06-15", name=[{"family": NAMES[0]}], identifier=[{"value": NAMES[2]}])
    note = lab(UACR, 310, "mg/g", note=[{"text": NAMES[3]}])
    call = desk.call([patient, *kidney()[1:-1], note], context={"userId": NAMES[4]})
    patient_id = call["context"]["patientId"] = patient["id"]
    foreign = lab(UACR, 310, "mg/g", of="p2-canary", note=[{"text": NAMES[3]}])
    ehr.faults["Observation"] = breaks(httpx.ConnectError)
    texts = [
        desk.post(without(call, "uacr")).text,
        desk.post(without(call, "uacr") | {"fhirServer": BASE, "fhirAuthorization": TOKEN}).text,
        desk.post(with_key(call, "uacr", foreign)).text,
        desk.post(with_key(call, "patient", patient | {"birthDate": 7, "id": "p2-canary"})).text,
        desk.post(with_key(call, "uacr", {"resourceType": "Bundle", "entry": [{"resource": NAMES[0]}]})).text,
        desk.post(call | {"hook": "order-sign"}).text,
        desk.post(json.dumps(call)[:-5]).text,
        desk.post(call, "/cds-services/none").text,
    ]
    broken = open_desk(with_models(site(), kfre_4=MODELS[0]))
    texts.append(broken.post(call).text)
    said = capfd.readouterr()
    for sink in (*texts, caplog.text, said.out, said.err, desk.metrics(), broken.metrics()):
        for name in (*NAMES, "p2-canary", str(TOKEN["access_token"]), f"Patient/{patient_id}"):
            assert name not in sink


def test_c85_nothing_tells_a_stranger_which_services_are_off(open_desk: Open) -> None:
    off = open_desk(service={"stage": "off"})
    unknown, hidden = off.post({}, "/cds-services/none"), off.post({})
    assert unknown.status_code == hidden.status_code == 404
    assert outcome(unknown)["details"] == outcome(hidden)["details"]


class TestShadow:
    """The shadow stage: always 200 with no cards; what would have been said, and what failed, is in the ledger."""

    def test_a_card_is_kept_and_not_shown(self, open_desk: Open) -> None:
        desk = open_desk(service={"stage": "shadow"})
        assert desk.post(desk.call(kidney())).content == b'{"cards":[]}'
        kept = desk.last()
        assert (kept.stage, kept.kind, kept.status, kept.body) == ("shadow", "shadow", 200, b'{"cards":[]}')
        assert b"15.4%" in kept.cards
        assert kept.replay_key is None

    @pytest.mark.parametrize("row", UNAVAILABLE)
    def test_what_could_not_be_had_is_kept(self, open_desk: Open, ehr: Ehr, row: str) -> None:
        desk = open_desk(service={"stage": "shadow"}, fhir_servers=(BASE,))
        make, _, keys = UNAVAILABLE[row]
        response = desk.post(make(desk, ehr))
        assert (response.status_code, response.content) == (200, b'{"cards":[]}')
        assert (desk.last().status, desk.last().kind, desk.last().missing) == (200, "unavailable", keys)

    @pytest.mark.parametrize("broken", MODELS)
    def test_what_broke_is_kept(self, open_desk: Open, broken: type[Kfre4]) -> None:
        desk = open_desk(with_models(site(service={"stage": "shadow"}), kfre_4=broken))
        assert desk.post(desk.call(kidney())).content == b'{"cards":[]}'
        assert (desk.last().status, desk.last().kind) == (200, "failed")
        assert 'kind="failed"' in desk.metrics()

    def test_a_ledger_that_is_down_is_no_matter(self, open_desk: Open) -> None:
        desk = open_desk(service={"stage": "shadow"})
        desk.ledger.close()
        response = desk.post(desk.call(kidney()))
        assert (response.status_code, response.content) == (200, b'{"cards":[]}')
        assert 'bedside_refused_requests_total{status="503"} 1.0' in desk.metrics()

    def test_it_is_listed_and_refuses_what_is_no_call(self, open_desk: Open) -> None:
        desk = open_desk(service={"stage": "shadow"})
        assert len(desk.http.get("/cds-services").json()["services"]) == 3
        assert desk.post(b"{").status_code == 400
