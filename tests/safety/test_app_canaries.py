"""No word of a patient's record, no token and no secret of a launch leaves the SMART app by any road but its page."""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote

import httpx
import pytest
import respx

from cds.trust.own_keys import OwnKeys
from tests.cdshooks.broken import CANARY, MODELS, failing
from tests.cdshooks.desk import Desk
from tests.safety.app_failures import (
    DOCUMENT,
    JSON_ERROR,
    NEXT,
    ODD,
    OTHER,
    OUTCOME,
    Path,
    act,
    code_again,
    discovery,
    during,
    elsewhere,
    fhir,
    held_at_feedback,
    held_at_sign_in,
    identity,
    idle,
    late,
    launch,
    ledger_held,
    model,
    others,
    posted,
    raises,
    raw,
    refresh,
    returned,
    saving,
    says,
    service,
    tells,
    token,
    tokens,
    twice,
    visit,
    wrong_secret,
)  # fmt: skip
from tests.safety.app_road import Road
from tests.safety.canaries import TOKEN, WORDS, leaks
from tests.safety.test_canaries import PATHS as HOOK_PATHS
from tests.smart.world import own_keys
from tests.web.two_ehrs import TwoEhrs, outside

__all__ = ["outside", "own_keys"]

PATHS: dict[str, Path] = {
    "launch: no iss": launch("launch=canary-id-03"),
    "launch: a stranger's iss": launch("iss=https://canary-address-25.example/canary-id-04&launch=x"),
    "launch: iss twice": launch("iss={base}&iss=canary-id-05&launch=x"),
    "launch: none": launch("iss={base}"),
    "launch: too long": launch("iss={base}&launch=" + "canary-id-06" * 300),
    "discovery: 404": discovery(says(404)),
    "discovery: 500": discovery(says(500)),
    "discovery: HTML": discovery(says(200, f"<html>{TOKEN}")),
    "discovery: redirects": discovery(says(302, location=f"https://canary-address-28.example/{TOKEN}")),
    "discovery: nothing in it": discovery(tells({"issuer": TOKEN})),
    "discovery: an unsafe endpoint": discovery(tells(DOCUMENT)),
    "discovery: too late": discovery(raises(httpx.ReadTimeout)),
    "discovery: cut": discovery(raises(httpx.RemoteProtocolError)),
    "discovery: a fault that nobody foresaw": discovery(raises(RuntimeError)),
    "sign-in: denied": returned(f"error=access_denied&error_description={ODD}&error_uri={ODD}&state={{state}}"),
    "sign-in: an error of its own": returned(f"error={ODD}&state={{state}}"),
    "sign-in: error without state": returned(f"error=invalid_scope&error_description={ODD}"),
    "sign-in: no state": returned("code=canary-id-07"),
    "sign-in: unknown state": returned(f"code=canary-id-08&state={ODD}"),
    "sign-in: no code": returned("state={state}"),
    "sign-in: another issuer": returned("code=canary-id-09&iss=https://canary-address-26.example&state={state}"),
    "sign-in: twice": twice,
    "sign-in: too late": late,
    "sign-in: another browser": elsewhere,
    "sign-in: another tab's secret": wrong_secret,
    "sign-in: a code that was used": code_again,
    "token: refused": token(says(400, JSON_ERROR)),
    "token: client refused": token(says(401, JSON_ERROR.replace("grant", "client"))),
    "token: 500": token(says(500)),
    "token: redirects": token(says(302, location=f"https://canary-address-27.example/{TOKEN}")),
    "token: too late": token(raises(httpx.ReadTimeout)),
    "token: not there": token(raises(httpx.ConnectError)),
    "token: a fault that nobody foresaw": token(raises(RuntimeError)),
    "token: none": tokens(access_token=None),
    "token: of another kind": tokens(token_type=TOKEN),
    "token: with a line break": tokens(access_token=f"{TOKEN}\nx"),
    "token: no scope": tokens(scope=None),
    "token: no patient": tokens(patient=None),
    "token: a patient's id that is none": tokens(patient="canary name 15!"),
    "token: lives for words": tokens(expires_in=TOKEN),
    "token: an identity that is none": tokens(id_token=f"canary-user-16.{TOKEN}.x"),
    "identity: no keys": identity("/auth/jwks", says(404)),
    "identity: keys fail": identity("/auth/jwks", says(500)),
    "identity: HTML": identity("openid-configuration", says(200, f"<html>{TOKEN}")),
    "identity: another issuer": identity("openid-configuration", tells({"issuer": TOKEN, "jwks_uri": TOKEN})),
    "Patient: 403": fhir("/Patient/", says(403)),
    "Patient: 404": fhir("/Patient/", says(404)),
    "Patient: 500": fhir("/Patient/", says(500)),
    "Patient: HTML": fhir("/Patient/", says(200, f"<html>{TOKEN}")),
    "Patient: half": fhir("/Patient/", says(200, f'{{"resourceType": "Patient", "{TOKEN}')),
    "Patient: an outcome": fhir("/Patient/", tells(OUTCOME)),
    "Patient: another's": fhir("/Patient/", tells({"resourceType": "Patient", "id": OTHER})),
    "Patient: redirects": fhir("/Patient/", says(302, location=f"https://canary-address-30.example/{TOKEN}")),
    "Patient: too late": fhir("/Patient/", raises(httpx.ReadTimeout)),
    "Patient: cut": fhir("/Patient/", raises(httpx.RemoteProtocolError)),
    "Patient: a fault that nobody foresaw": fhir("/Patient/", raises(RuntimeError)),
    "401 and the refresh refused": refresh(says(400, JSON_ERROR)),
    "401 and the refresh silent": refresh(raises(httpx.ReadTimeout)),
    "401 and the refresh for another": refresh(
        tells({"access_token": TOKEN, "token_type": "Bearer", "patient": OTHER})
    ),
    "page: idle for too long": idle,
    "page: another patient in the address": visit(f"?patient={OTHER}"),
    "page: no such service": visit("-canary-name-12?x=canary-name-13"),
    "page: of nobody": lambda road: road.browser.get("/smart/app/canary-id-19/canary-id-20"),
    "page: no such file": lambda road: road.browser.get("/smart/static/canary-name-14"),
    "page: another method": lambda road: road.browser.send("DELETE", f"{road.path}?canary-name-15"),
    "page: the ledger is held": ledger_held(visit("")),
    "page: draining": during("draining", True, visit("")),
    "page: overload": during("in_progress", 10**6, visit("")),
    "form: another patient": posted("what-if", patient=OTHER),
    "form: a made-up ticket": posted("what-if", ticket="canary-id-21"),
    "form: from elsewhere": posted("save", {"origin": "https://canary-address-31.example"}),
    "form: cross-site": posted("feedback", {"sec-fetch-site": "cross-site"}),
    "form: not UTF-8": raw(b"egfr=canary-note-05\xff"),
    "form: too long": raw(b"egfr=" + b"canary-note-06" * 6000),
    "form: twice": raw(b"egfr=canary-note-07&egfr=canary-note-08"),
    "form: JSON": raw(b'{"egfr": "canary-note-09"}', "application/json"),
    "feedback: a card that is a text": act("feedback", card="canary-note-10 canary-name-16"),
    "feedback: another verdict": act("feedback", verdict="canary-note-11"),
    "feedback: the ledger is held": held_at_feedback,
    "sign-in: the ledger is held": held_at_sign_in,
}
"""Answered by a page that has no patient on it."""

ON_THE_PAGE: dict[str, Path] = {
    "results: 500": fhir("/Observation", says(500)),
    "results: HTML": fhir("/Observation", says(200, f"<html>{TOKEN}")),
    "results: an outcome": fhir("/Observation", tells(OUTCOME)),
    "results: next elsewhere": fhir("/Observation", tells(NEXT)),
    "results: somebody else's": others,
    "what-if: words": act("what-if", egfr="canary-note-12"),
    "what-if: no number": act("what-if", egfr="nan", acr="1e999"),
    "save: refused": saving(tells(OUTCOME, 422)),
    "save: 500": saving(says(500)),
    "save: cut": saving(raises(httpx.RemoteProtocolError)),
    "save: an id that is none": saving(tells({"resourceType": "RiskAssessment", "id": f"{TOKEN} !"}, 201)),
    "save: of something else": act("save", assessment=TOKEN),
    "feedback: a reason that is a text": act("feedback", verdict="not-helpful", reason=TOKEN, comment=TOKEN),
    "a service that breaks": service(failing),
    **{f"a model that breaks: {kind.__name__}": model(kind) for kind in MODELS},
}
"""Told on the patient's own page: there her name stands, and nothing of what failed."""


def secrets_of(road: Road) -> set[str]:
    """Every code, token, state, verifier, assertion, launch, cookie and ticket that came by."""
    found = {TOKEN}
    for request in (*road.at.a.seen, *road.at.b.seen):
        found |= {value for name, value in parse_qsl(request.content.decode()) if name in _SPENT}
        found |= {request.headers.get("authorization", "Bearer x").removeprefix("Bearer ")} - {"x"}
    for memory in (road.at.a.ehr.memory, road.at.b.ehr.memory):
        shelves = (memory.codes, memory.access, memory.refresh, memory.launches)
        found |= {name for shelf in shelves for name in shelf._kept}
    for said in road.browser.said:
        location = unquote(said.headers.get("location", ""))
        found |= set(re.findall(r"(?:state|nonce|code|code_challenge)=([\w-]{20,})", location))
        found |= set(re.findall(r'name="(?:ticket|launch|secret)" value="([^"]{20,})"', said.text))
        found |= set(re.findall(r"/smart/app/([\w-]{22})", location))
    return found | {value for value in road.browser.http.cookies.values() if len(value) > 20}


_WAY_BACK = re.compile(r'<p><a class="go" [^<]*</a></p>|<form method="post" [^>]*class="go-form">.*?</form>', re.DOTALL)
"""To the reader's own session, whose next ticket a page that could not be shown carries as every page does."""
_SPENT = {"code", "code_verifier", "client_assertion", "refresh_token"}


@pytest.mark.proves(
    "R26", "101 failure paths of the app, 168 with the hooks': 0 of 214 words in logs, metrics, database"
)
@pytest.mark.proves("R26", "80 pages of failures without a patient on them: 0 of 214 words in body and headers")
@pytest.mark.proves(
    "R12", "101 failure paths of the app: 0 tokens, codes, states, verifiers, cookies in log, error, database"
)
@pytest.mark.proves("R28", "80 failure paths of the app: no-store and no-referrer on each, 0 words in an address")
def test_r26_r12_nothing_of_a_record_or_a_launch_leaves_the_app(
    open_desk: Callable[..., Desk], outside: respx.MockRouter, own_keys: OwnKeys, capfd: pytest.CaptureFixture[str]
) -> None:
    road = Road(TwoEhrs(open_desk, outside, own_keys))
    assert (len(PATHS), len(ON_THE_PAGE)) == (80, 21)
    assert len(PATHS) + len(ON_THE_PAGE) + len(HOOK_PATHS) >= 168
    failed: list[str] = []
    statuses: dict[str, int] = {}
    for name, one in PATHS.items():
        said = one(road)
        statuses[name] = said.status_code
        failed += [_WAY_BACK.sub("", said.text), str(said.headers)]
        assert leaks([said.text, str(said.headers)]) == set(), name
        assert said.headers["cache-control"] == "no-store", name
        assert said.headers["referrer-policy"] == "no-referrer", name
    assert [name for name, code in statuses.items() if code < 400] == []
    for name, one in ON_THE_PAGE.items():
        said = one(road)
        assert TOKEN not in said.text + str(said.headers), name
        assert CANARY not in said.text, name
        assert "canary-note-04" not in said.text, name
        assert OTHER not in said.text, name
        assert said.headers["cache-control"] == "no-store", name
        failed += [str(said.headers)]
    assert road.browser.get(road.path).status_code == 200
    logged = capfd.readouterr()
    desk = road.at.desk
    kept = [path.read_bytes() for path in desk.database.parent.iterdir()]
    sinks: list[bytes | str] = [*failed, logged.out, logged.err, desk.metrics(), *kept]
    assert leaks(sinks) == set()
    texts = [sink if isinstance(sink, str) else sink.decode("latin-1") for sink in sinks]
    assert not any(OTHER in text or CANARY in text or "Traceback" in text for text in texts)
    secrets = secrets_of(road)
    assert len(secrets) > 100
    told = {"log": logged.out + logged.err, "errors": "".join(failed), "metrics": desk.metrics()}
    for place, text in told.items():
        assert not [secret for secret in secrets if secret in text], place
    assert not any(secret.encode() in one for secret in secrets for one in kept)
    assert "page not shown" in logged.out + logged.err  # the log was looked at, and is not empty
    assert len(WORDS) == 214
