"""The ways in which a launch, a page or one of its forms fails, over a patient made of canaries."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx
from msgspec.structs import replace

from cds.cdshooks.service import HookService
from tests.cdshooks.charts import UACR, Json, lab
from tests.cdshooks.desk import SERVICE
from tests.safety.app_road import Road
from tests.safety.canaries import PATIENT, TOKEN
from tests.web.clinic import HOSPITAL
from tests.web.two_ehrs import OURS, THEIRS, Fault, hidden, onward, state_in

OTHER = "canary-patient-of-somebody-else"
SAID = f"canary-note-04 {TOKEN}"
"""What a server that fails says besides: none of it stands in a chart, and no page may repeat it."""

Path = Callable[[Road], httpx.Response]


def says(code: int, text: str = SAID, **headers: str) -> Fault:
    return lambda _: httpx.Response(code, text=text, headers=headers)


def tells(body: Json, code: int = 200) -> Fault:
    return lambda _: httpx.Response(code, json=body)


def raises(kind: type[Exception]) -> Fault:
    def fault(_: httpx.Request) -> httpx.Response:
        raise kind(SAID)

    return fault


def launch(query: str) -> Path:
    return lambda road: road.browser.get(f"/smart/launch?{query.format(base=road.at.a.base)}")


def discovery(fault: Fault) -> Path:
    """At the clinic, where nobody has signed in: what was once discovered is kept."""

    def sent(road: Road) -> httpx.Response:
        with road.failing("smart-configuration", fault, road.at.b):
            return road.browser.launch(road.at.b, THEIRS)

    return sent


def identity(named: str, fault: Fault) -> Path:
    def sent(road: Road) -> httpx.Response:
        back = road.back(road.at.b)
        with road.failing(named, fault, road.at.b):
            return road.browser.get(back)

    return sent


def token(fault: Fault) -> Path:
    def sent(road: Road) -> httpx.Response:
        back = road.back()
        with road.failing("/auth/token", fault):
            return road.browser.get(back)

    return sent


def tokens(**changed: Any) -> Path:
    """The EHR's own token response with members changed; None leaves one out."""

    def sent(road: Road) -> httpx.Response:
        back = road.back()
        usual: Json = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "launch patient/*.rs"}
        said = {name: value for name, value in {**usual, "patient": PATIENT, **changed}.items() if value is not None}
        with road.failing("/auth/token", tells(said)):
            return road.browser.get(back)

    return sent


def returned(query: str) -> Path:
    return lambda road: road.browser.get(f"/smart/callback?{query.format(state=state_in(road.back()))}")


def fhir(named: str, fault: Fault) -> Path:
    def sent(road: Road) -> httpx.Response:
        with road.failing(named, fault):
            said = road.browser.get(road.path)
        road.reopen()
        return said

    return sent


def act(what: str, **members: str) -> Path:
    return lambda road: road.act(what, **members)


def saving(fault: Fault) -> Path:
    def sent(road: Road) -> httpx.Response:
        form = road.form()
        with road.failing("POST /demo/fhir/RiskAssessment", fault):
            return road.browser.post(f"{road.path}/save", form)

    return sent


def visit(rest: str) -> Path:
    return lambda road: road.browser.get(f"{road.path}{rest}")


def posted(what: str, headers: dict[str, str] = OURS, **members: str) -> Path:
    return lambda road: road.browser.post(f"{road.path}/{what}", road.form(**members), headers=headers)


def raw(content: bytes, kind: str = "application/x-www-form-urlencoded") -> Path:
    headers = OURS | {"content-type": kind}
    return lambda road: road.browser.http.post(f"{road.path}/what-if", content=content, headers=headers)


def broken(**changes: Any) -> Path:
    """The hospital's service with something in it that breaks."""

    def sent(road: Road) -> httpx.Response:
        state = road.at.desk.state
        before = state.site
        tenant = before.tenants[HOSPITAL]
        usual = tenant.services[SERVICE]
        made = {
            name: {**usual.models, "kfre-4": value(usual.models["kfre-4"])} if name == "models" else value
            for name, value in changes.items()
        }
        services = {**tenant.services, SERVICE: replace(usual, **made)}
        state.site = replace(before, tenants={**before.tenants, HOSPITAL: replace(tenant, services=services)})
        try:
            return road.browser.get(road.path)
        finally:
            state.site = before

    return sent


def model(kind: Any) -> Path:
    return broken(models=lambda own: type(kind.__name__, (kind,), {"id": "kfre-4"})(own.card, own.settings))


def service(one: HookService) -> Path:
    return broken(service=one)


def during(name: str, value: object, then: Path) -> Path:
    def sent(road: Road) -> httpx.Response:
        state = road.at.desk.state
        before = getattr(state, name)
        setattr(state, name, value)
        try:
            return then(road)
        finally:
            setattr(state, name, before)

    return sent


def twice(road: Road) -> httpx.Response:
    back = road.back()
    road.browser.get(back)
    return road.browser.get(back)


def late(road: Road) -> httpx.Response:
    back = road.back()
    with road.later(minutes=11):
        return road.browser.get(back)


def elsewhere(road: Road) -> httpx.Response:
    """Another browser, with a cookie under the launch's name."""
    back = road.back()
    thief = road.at.visitor()
    for name in road.browser.http.cookies:
        thief.http.cookies.set(name, "canary-id-17")
    return thief.get(back)


def wrong_secret(road: Road) -> httpx.Response:
    frame = road.at.visitor()
    back = road.at.a.sign_in(onward(frame.launch(road.at.a, into="iframe")))
    frame.http.cookies.clear()
    return frame.post("/smart/callback", {"launch": hidden(frame.get(back), "launch"), "secret": "canary-id-18"})


def code_again(road: Road) -> httpx.Response:
    first, second = road.back(), road.back()
    road.browser.get(first)
    code = dict(parse_qsl(first.partition("?")[2]))["code"]
    return road.browser.get(f"/smart/callback?code={code}&state={state_in(second)}")


def idle(road: Road) -> httpx.Response:
    with road.later(minutes=16):
        return road.browser.get(road.path)


def refresh(fault: Fault) -> Path:
    def sent(road: Road) -> httpx.Response:
        with road.failing("/Patient/", says(401)):
            road.at.a.faults["/auth/token"] = fault
            said = road.browser.get(road.path)
        road.reopen()
        return said

    return sent


def ledger_held(then: Path) -> Path:
    """Held while the request that needs it is made; what leads there has been recorded."""

    def sent(road: Road) -> httpx.Response:
        with road.held():
            return then(road)

    return sent


def held_at_feedback(road: Road) -> httpx.Response:
    form = road.form()
    with road.held():
        return road.browser.post(f"{road.path}/feedback", form)


def held_at_sign_in(road: Road) -> httpx.Response:
    back = road.back()
    with road.held():
        return road.browser.get(back)


def others(road: Road) -> httpx.Response:
    """Somebody else's result among the patient's."""
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": lab(UACR, 3, "mg/g", of=OTHER), "search": {"mode": "match"}}],
    }
    with road.failing("/Observation", tells(bundle)):
        return road.browser.get(road.path)


ODD = quote("canary-name-08 <script>", safe="")
DOCUMENT: Json = {"authorization_endpoint": f"http://{TOKEN}.example/", "token_endpoint": "https://x.example/t"}
JSON_ERROR = json.dumps({"error": "invalid_grant", "error_description": SAID, "error_uri": TOKEN})
OUTCOME: Json = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": SAID}]}
NEXT: Json = {
    "resourceType": "Bundle", "type": "searchset", "total": 9,
    "link": [{"relation": "next", "url": f"https://canary-address-29.example/{PATIENT}?{TOKEN}"}],
}  # fmt: skip
