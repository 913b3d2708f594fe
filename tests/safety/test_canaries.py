"""No word of a patient's record and no token leaves by a log, a metric, an error or a clear column."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.cdshooks.broken import MODELS, failing, with_models, with_service
from tests.cdshooks.charts import CREATININE, UACR, Json, lab, request
from tests.cdshooks.desk import PATH, Desk, site, with_key, without
from tests.cdshooks.ehr import BASE, Ehr
from tests.safety.canaries import PATIENT, TOKEN, WORDS, chart, leaks
from tests.web.clinic import Clinic, clinic, hospital

FEEDBACK = f"{PATH}/feedback"
ACCESS = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.rs",
    "subject": "canary-id-03",
    "patient": PATIENT,
}


class Road:
    """One server, its EHR, a patient made of canaries, and everything that was sent to the server as a token."""

    def __init__(self, clinic: Clinic, ehr: Ehr) -> None:
        self.clinic, self.ehr = clinic, ehr
        self.number = 0
        self.tokens: list[str] = []
        self.templates = self._templates()

    def _templates(self) -> Json:
        found = self.clinic.desk.http.get("/cds-services", headers=self.headers("/cds-services")).json()
        templates: Json = found["services"][0]["prefetch"]
        return templates

    def headers(self, path: str = PATH, **changed: Any) -> dict[str, str]:
        made = self.clinic.hospital.headers(path, **changed)
        self.tokens.append(made["authorization"].removeprefix("Bearer "))
        return made

    def call(self, **members: Any) -> Json:
        """A call with all of its prefetch, beginning with other canaries each time."""
        self.number += 13
        user = {"userId": f"Practitioner/{WORDS[2 + self.number % (len(WORDS) - 2)]}"}
        return request(chart(start=self.number), self.templates, of=PATIENT, context=user, **members)

    def fetching(self) -> Json:
        self.ehr.resources = chart(start=self.number)
        return without(self.call(), "uacr") | {"fhirServer": BASE, "fhirAuthorization": ACCESS}

    def send(self, body: Json | bytes, path: str = PATH, **headers: str) -> httpx.Response:
        return self.clinic.desk.post(body, path, **(self.headers(path) | headers))


Path = Callable[[Road], httpx.Response]
PATHS: dict[str, Path] = {}


def path(name: str) -> Callable[[Path], Path]:
    def kept(one: Path) -> Path:
        PATHS[name] = one
        return one

    return kept


def _body(change: Callable[[bytes], bytes]) -> Path:
    return lambda road: road.send(change(json.dumps(road.call()).encode()))


def _with(**members: Any) -> Path:
    return lambda road: road.send(road.call() | members)


def _key(key: str, value: Callable[[Road], Any]) -> Path:
    return lambda road: road.send(with_key(road.call(), key, value(road)))


def _fault(fault: Callable[[httpx.Request], httpx.Response]) -> Path:
    def sent(road: Road) -> httpx.Response:
        road.ehr.faults["Observation"] = fault
        try:
            return road.send(road.fetching())
        finally:
            road.ehr.faults.clear()

    return sent


def _said(code: int, text: str = "canary-note-04", **headers: str) -> Path:
    return _fault(lambda _: httpx.Response(code, text=text, headers=headers))


def _raises(kind: type[Exception]) -> Path:
    def fault(_: httpx.Request) -> httpx.Response:
        raise kind("canary-note-05 canary-access-token-02")

    return _fault(fault)


def _token(**changed: Any) -> Path:
    return lambda road: road.clinic.desk.post(road.call(), **road.headers(**changed))


def _report(**members: Any) -> Path:
    def sent(road: Road) -> httpx.Response:
        usual = {
            "card": "0d5b7a52-2a7b-4a0e-8f2a-2f1b0a6d9c11",
            "outcome": "overridden",
            "outcomeTimestamp": "2026-11-22T14:00:00Z",
        }
        return road.send({"feedback": [usual | members]}, FEEDBACK)

    return sent


BUNDLE = {"resourceType": "Bundle", "type": "searchset"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": "canary-note-07"}]}
OTHER = "canary-patient-of-somebody-else"

PATHS |= {
    "cut short": _body(lambda body: body[:-40]),
    "not JSON": _body(lambda _: b"canary-name-08, canary-note-08"),
    "bad UTF-8": _body(lambda body: body.replace(PATIENT.encode(), PATIENT.encode() + b"\xff")),
    "NaN": _body(lambda body: body.replace(b'"value": ', b'"value": NaN, "x": ', 1)),
    "endless nesting": _body(lambda body: body[:-1] + b', "canary-note-09": ' + b"[" * 200 + b"]" * 200 + b"}"),
    "too large": _body(lambda body: body[:-1] + b', "x": "' + b"canary-note-10 " * 160_000 + b'"}'),
    "another type of body": lambda road: road.send(road.call(), content_type="text/canary-note-11"),
    "an encoded body": lambda road: road.send(road.call(), content_encoding="canary-note-12"),
    "hook unknown": _with(hook="canary-note-13"),
    "hook a number": _with(hook=7),
    "instance no UUID": _with(hookInstance="canary-id-14"),
    "no context": _with(context=None),
    "patient's id no id": _with(context={"userId": "Practitioner/x", "patientId": "canary name 15!"}),
    "user of no type": _with(context={"userId": "canary-user-16", "patientId": PATIENT}),
    "prefetch a list": _with(prefetch=["canary-name-17"]),
    "authorization without a server": _with(fhirAuthorization=ACCESS),
    "authorization of another kind": _with(
        fhirServer=BASE, fhirAuthorization=ACCESS | {"token_type": "canary-note-18"}
    ),
    "authorization a text": _with(fhirServer=BASE, fhirAuthorization=TOKEN),
    "authorization for another": _with(fhirServer=BASE, fhirAuthorization=ACCESS | {"patient": OTHER}),
    "no fhirServer for what lacks": lambda road: road.send(without(road.call(), "uacr")),
    "fhirServer unknown": lambda road: road.send(road.fetching() | {"fhirServer": "https://canary-address-25.example/r4"}),
    "access token over": lambda road: road.send(road.fetching() | {"fhirAuthorization": ACCESS | {"expires_in": 0}}),
    "scope too small": lambda road: road.send(
        road.fetching() | {"fhirAuthorization": ACCESS | {"scope": "patient/X.rs"}}
    ),
    "another's result": _key("uacr", lambda _: lab(UACR, 310, "mg/g", of=OTHER)),
    "another's Patient": _key("patient", lambda _: {"resourceType": "Patient", "id": OTHER}),
    "nobody's result": _key("uacr", lambda _: {k: v for k, v in lab(UACR, 3, "mg/g").items() if k != "subject"}),
    "a result by identifier": _key(
        "uacr", lambda _: lab(UACR, 3, "mg/g") | {"subject": {"identifier": {"value": OTHER}}}
    ),
    "a contained subject": _key("uacr", lambda _: lab(UACR, 3, "mg/g") | {"subject": {"reference": "#canary-id-19"}}),
    "a type that is none": _key("uacr", lambda _: {"resourceType": "canary-note-20", "id": "canary-id-20"}),
    "a number for a text": _key("uacr", lambda _: lab(UACR, 3, "mg/g", of=PATIENT) | {"status": {"canary-note-21": 1}}),
    "an outcome in place": _key("conditions", lambda _: OUTCOME),
    "two servers": _key("uacr", lambda _: BUNDLE | {"entry": [
        {"fullUrl": f"https://canary-address-{n}.example/Observation/1", "resource": lab(UACR, 3, "mg/g", of=PATIENT)}
        for n in (26, 27)]}),
    "two versions": _key("creatinine", lambda _: BUNDLE | {"entry": [
        {"resource": lab(CREATININE, value, "mg/dL", of=PATIENT, id="canary-id-22")} for value in (2.0, 3.0)]}),
    "no Patient": _key("patient", lambda _: None),
    "FHIR 400": _said(400),
    "FHIR 401": _said(401),
    "FHIR 403": _said(403),
    "FHIR 404": _said(404),
    "FHIR 410": _said(410),
    "FHIR 429": _said(429, **{"Retry-After": "canary-note-23"}),
    "FHIR 500": _said(500),
    "FHIR 503": _said(503),
    "FHIR redirects": _said(302, Location="https://canary-address-28.example/canary-note-24"),
    "FHIR says HTML": _said(200, "<html>canary-name-24</html>"),
    "FHIR says half": _said(200, '{"resourceType": "Bundle", "entry": [{"canary-name-23"'),
    "FHIR says an outcome": _fault(lambda _: httpx.Response(200, json=OUTCOME)),
    "FHIR next elsewhere": _fault(lambda _: httpx.Response(200, json=BUNDLE | {"total": 9, "link": [
        {"relation": "next", "url": f"https://canary-address-29.example/{PATIENT}"}]})),
    "FHIR next no URL": _fault(lambda _: httpx.Response(200, json=BUNDLE | {"total": 9, "link": [
        {"relation": "next", "url": "http://[canary-address-30"}]})),
    "FHIR too late": _raises(httpx.ReadTimeout),
    "FHIR not there": _raises(httpx.ConnectError),
    "FHIR cut": _raises(httpx.RemoteProtocolError),
    "token of a stranger": _token(iss="https://canary-address-31.example"),
    "token over": _token(exp=1),
    "token for another place": _token(aud="https://canary-address-32.example"),
    "token with odd claims": _token(sub="canary-user-10\n", jti=["canary-id-11"]),
    "token cut": lambda road: road.clinic.desk.post(road.call(), authorization=road.headers()["authorization"][:-9]),
    "no such service": lambda road: road.send({}, "/cds-services/canary-name-12"),
    "no such page": lambda road: road.clinic.desk.http.get("/canary-name-13?patient=canary-patient-01"),
    "feedback: no outcome": _report(outcome="canary-note-14"),
    "feedback: no time": _report(outcomeTimestamp="canary-note-15"),
    "feedback: comment too long": _report(overrideReason={"userComment": "canary-note-16 " * 1000}),
    "feedback: unknown card": _report(overrideReason={"userComment": "canary-note-17"}),
    "feedback: odd code": _report(overrideReason={"reason": {"code": "canary-code-40\x00", "system": "x"}}),
    "overload": lambda road: _while(road, "in_progress", 10**6),
    "draining": lambda road: _while(road, "draining", True),
}  # fmt: skip


def _while(road: Road, name: str, value: object) -> httpx.Response:
    state = road.clinic.desk.state
    before = getattr(state, name)
    setattr(state, name, value)
    try:
        return road.send(road.call())
    finally:
        setattr(state, name, before)


@path("the token twice")
def _twice(road: Road) -> httpx.Response:
    headers, body = road.headers(), road.call()
    road.clinic.desk.post(body, **headers)
    return road.clinic.desk.post(body, **headers)


@path("the ledger is held by another")
def _ledger_held(road: Road) -> httpx.Response:
    with closing(sqlite3.connect(road.clinic.desk.database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        return road.send(road.call())


@pytest.mark.proves("R26", "66 failure paths, 214 words of a record: 0 in logs, metrics, errors and database")
@pytest.mark.proves("R12", "an access token through 66 failure paths: 0 in logs, metrics, errors, database")
def test_r26_r12_no_word_of_a_record_and_no_token_leaves(
    open_desk: Callable[..., Desk], ehr: Ehr, capfd: pytest.CaptureFixture[str]
) -> None:
    road = Road(Clinic(open_desk, hospital(fhir_base=BASE), clinic()), ehr)
    assert len(PATHS) >= 66
    statuses: dict[str, int] = {}
    errors: list[bytes] = []
    for name, one in PATHS.items():
        response = one(road)
        statuses[name] = response.status_code
        if response.status_code >= 300:
            errors += [response.content, str(response.headers).encode()]
    fine = {"feedback: unknown card", "a number for a text"}  # an orphan is kept; the result is left out and said
    assert {name for name, code in statuses.items() if code < 300} == fine
    good = road.send(road.call())
    assert good.json()["cards"]
    said = capfd.readouterr()
    desk = road.clinic.desk
    kept = [path.read_bytes() for path in desk.database.parent.iterdir()]
    sinks: list[bytes | str] = [*errors, said.out, said.err, desk.metrics(), *kept]
    assert leaks(sinks) == set()
    texts = [sink if isinstance(sink, str) else sink.decode("latin-1") for sink in sinks]
    assert not any(token in text or token.split(".")[-1] in text for token in road.tokens for text in texts)
    assert any("not answered" in text for text in (said.out, said.err))  # the log was looked at, and is not empty


@pytest.mark.proves("R26", "7 broken models and a broken service: 0 words in answer, log and metrics")
@pytest.mark.parametrize("broken", range(len(MODELS) + 1))
def test_r26_what_breaks_inside_says_nothing_of_the_patient(
    open_desk: Callable[..., Desk], broken: int, capfd: pytest.CaptureFixture[str]
) -> None:
    served = with_service(site(), failing) if broken == len(MODELS) else with_models(site(), kfre_4=MODELS[broken])
    desk = open_desk(served)
    templates = desk.templates
    response = desk.post(request(chart(start=broken), templates, of=PATIENT))
    assert response.status_code == 500
    said = capfd.readouterr()
    kept = [path.read_bytes() for path in desk.database.parent.iterdir()]
    assert leaks([response.content, said.out, said.err, desk.metrics(), *kept]) == set()


def test_the_search_for_canaries_finds_them() -> None:
    assert leaks([json.dumps(chart())]) >= {PATIENT, *WORDS[2:60]}
    assert leaks(["x", b"canary%2Dpatient", f"?p={PATIENT}"]) == {PATIENT}
    assert len(WORDS) == len(set(WORDS)) == 214
