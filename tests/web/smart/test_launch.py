"""The launch as a browser walks it: with cookies, without, in frames, in tabs, and twice at once."""

import json
import re
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
import respx

from cds.errors import SiteError
from cds.trust.own_keys import OwnKeys
from tests.smart.ehr import AUTHORIZE, BASE, TOKEN
from tests.smart.world import table
from tests.web.smart.clinic import FRAMES, HOME, Browser, Clinic, asked, data, field, framed, title


@pytest.mark.proves("S5", "redirect_uri is our callback exactly, also behind a public address")
def test_a_launch_goes_to_the_ehrs_sign_in_and_comes_back_to_a_session(clinic: Clinic) -> None:
    browser = clinic.browser()
    left = browser.launch()
    assert left.status_code == 303
    assert left.headers["location"].startswith(f"{AUTHORIZE}?response_type=code&client_id=bedside&")
    assert asked(left)["redirect_uri"] == f"{HOME}/smart/callback"
    back = browser.get(browser.sign_in(left))
    assert back.status_code == 303
    assert re.fullmatch(r"/smart/app/[A-Za-z0-9_-]{22}", back.headers["location"])
    assert browser.get(back.headers["location"]).json()["patient"] == "patient-7"


def test_behind_a_proxy_the_public_address_is_where_the_ehr_returns(make_clinic: Callable[..., Clinic]) -> None:
    browser = make_clinic(public_url="https://cds.example.org").browser()
    assert asked(browser.launch())["redirect_uri"] == "https://cds.example.org/smart/callback"


@pytest.mark.proves("S4", "a public address without TLS stops the start, loopback's does not")
def test_a_sign_in_never_comes_back_without_tls(make_clinic: Callable[..., Clinic]) -> None:
    with pytest.raises(SiteError, match="public_url"):
        make_clinic(public_url="http://cds.example.org")
    assert make_clinic(public_url="http://127.0.0.1:8080").browser().launch().status_code == 303


@pytest.mark.proves("S24", "code and state in 0 of the addresses after the callback's 303")
def test_code_and_state_are_gone_from_the_address_and_from_what_is_cached(clinic: Clinic) -> None:
    browser = clinic.browser()
    back = browser.get(browser.sign_in(browser.launch()))
    assert "?" not in back.headers["location"]
    assert back.headers["cache-control"] == "no-store"
    assert back.headers["referrer-policy"] == "no-referrer"


@pytest.mark.proves("S2", "12 of 12 near misses of a registered iss: 403, 0 requests made")
@pytest.mark.proves("R40", "iss checked before discovery: 0 requests for 12 strangers")
def test_only_a_registered_iss_is_contacted(clinic: Clinic) -> None:
    browser = clinic.browser()
    for iss in (
        "https://evil.example/fhir", f"{BASE}//", f"{BASE}/x", BASE.upper(), BASE.replace("https", "http"),
        f"{BASE}?x=1", f"{BASE}#x", f" {BASE}", "http://169.254.169.254/fhir", "https://ehr.example.evil.example/fhir/r4",
        "https://ehr.example:443/fhir/r4", "https://user@ehr.example/fhir/r4",
    ):  # fmt: skip
        for path in ("launch", "standalone"):
            refused = browser.get(f"/smart/{path}?iss={quote(iss, safe='')}&launch=x")
            assert refused.status_code == 403
            assert title(refused) == "This health record is not registered here"
    assert clinic.ehr.asked == []
    assert browser.get(f"/smart/launch?iss={BASE}/&launch=x").status_code == 303


def test_a_revoked_client_cannot_launch(make_clinic: Callable[..., Clinic]) -> None:
    revoked = make_clinic(table(revoked=True))
    assert revoked.browser().launch().status_code == 403
    assert revoked.ehr.asked == []


@pytest.mark.proves("S6", "standalone: launch/patient asked, launch absent; offered are the 2 of 4 that asked to be")
def test_a_standalone_launch_begins_with_a_choice(make_clinic: Callable[..., Clinic]) -> None:
    def at(tenant: str, **more: object) -> dict[str, object]:
        base = f"https://{tenant}.example/fhir"
        return table(tenant=tenant, issuer=f"https://{tenant}.example", fhir_base=base, **more)

    offered = {"standalone": True}
    browser = make_clinic(
        table(smart=offered), at("south", smart=offered), at("secret"), at("gone", smart=offered, revoked=True)
    ).browser()
    choice = browser.get("/smart/standalone")
    assert re.findall(r'href="(/smart/standalone[^"]+)">([^<]+)', choice.text) == [
        ("/smart/standalone?tenant=north-clinic", "north-clinic"), ("/smart/standalone?tenant=south", "south"),
    ]  # fmt: skip
    assert not any(name in choice.text for name in ("secret", "gone", "fhir"))
    for address in (f"iss={BASE}", "tenant=north-clinic"):
        sent = asked(browser.get(f"/smart/standalone?{address}"))
        assert "launch" not in sent
        assert {"launch/patient", "openid", "fhirUser"} <= set(sent["scope"].split())
        assert "launch" not in sent["scope"].split()
    for stranger in ("secret", "gone", "nobody"):
        refused = browser.get(f"/smart/standalone?tenant={stranger}")
        assert refused.status_code == 404
        assert title(refused) == "This app opens from a patient's chart"


def test_without_an_ehr_that_asked_for_it_nothing_is_offered_to_strangers(clinic: Clinic) -> None:
    page = clinic.browser().get("/smart/standalone")
    assert page.status_code == 404
    assert title(page) == "This app opens from a patient's chart"
    assert not any(name in page.text for name in ("north-clinic", "ehr.example"))


@pytest.mark.proves("S5", "a public address with a path: 303, form, link, style and script below it, 7 of 7 places")
def test_below_a_path_of_the_public_address_everything_leads_there(make_clinic: Callable[..., Clinic]) -> None:
    browser = make_clinic(framed(), public_url="https://cds.example.org/bedside").browser()
    left = browser.launch()
    assert 'src="/bedside/smart/passage.js"' in left.text
    assert 'href="/bedside/smart/static/page.css"' in left.text
    assert asked(left)["redirect_uri"] == "https://cds.example.org/bedside/smart/callback"
    home = browser.get(browser.sign_in(left)).headers["location"]
    assert home.startswith("/bedside/smart/app/")
    assert browser.get(home.removeprefix("/bedside")).status_code == 200, "the proxy takes the path away"
    assert 'href="/bedside/smart/static/page.css"' in browser.get("/smart/launch").text
    unkept = make_clinic(framed(), public_url="https://cds.example.org/bedside").browser(cookies=False)
    back = unkept.get(unkept.sign_in(unkept.launch()))
    assert 'action="/bedside/smart/callback"' in back.text
    assert 'href="/bedside/smart/launch?iss=' in back.text


@pytest.mark.proves(
    "S3", "a server outside the EHR's site: refused before any request to it, its host alone on the page"
)
def test_the_page_says_which_server_has_to_be_registered(
    make_clinic: Callable[..., Clinic], router: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    for hosts, status in (([], 502), (["login.idp.com"], 303)):
        clinic = make_clinic(table(smart={"hosts": hosts}))
        clinic.ehr.configuration["token_endpoint"] = "https://login.idp.com/secret-path/token"
        token = router.post("https://login.idp.com/secret-path/token").respond(400, json={"error": "invalid_grant"})
        browser = clinic.browser()
        page = browser.launch()
        assert page.status_code == status
        if status == 502:
            assert "Server to register: <code>login.idp.com</code>" in page.text
            said = capsys.readouterr().out
            assert "host=login.idp.com" in said
            assert "secret-path" not in page.text + said
            assert not token.called
        else:
            browser.get(browser.sign_in(page))
            assert token.called


@pytest.mark.proves("S10", "scopes of a real site: exactly the resource types that its services' models need")
def test_the_scopes_follow_from_what_the_models_read(clinic: Clinic) -> None:
    (tenant,) = clinic.site.tenants.values()
    types = {need.resource_type for deployed in tenant.services.values() for need in deployed.needs}
    scopes = asked(clinic.browser().launch())["scope"].split()
    assert {one for one in scopes if "/" in one} == {f"patient/{kind}.rs" for kind in types | {"Patient"}}
    assert len(types) >= 3


@pytest.mark.proves("S22", "no cookie kept: launch, callback, page and a change, 4 of 4 steps by one-time secrets")
@pytest.mark.proves("R42", "with no cookie at all the one-time handle opens the page; replayed it does not")
def test_a_frame_without_cookies_reaches_the_page(frames: Clinic) -> None:
    browser = frames.browser(cookies=False)
    left = browser.launch(sec_fetch_dest="iframe")
    assert left.status_code == 200
    assert data(left, "step") == "leaving"
    back = browser.get(browser.sign_in(left))
    assert back.status_code == 200
    assert data(back, "name") == data(left, "name"), "the script finds in sessionStorage what it put there"
    entering = browser.post("/smart/callback", {"launch": field(back, "launch"), "secret": data(left, "secret")})
    assert entering.status_code == 200, entering.text
    found = re.search(r'action="(/smart/app/[^"]+)"', entering.text)
    assert found
    page = browser.post(found[1], {"ticket": field(entering, "ticket")})
    assert page.json()["by_cookie"] is False
    assert page.json()["patient"] == "patient-7"
    saved = browser.post(f"{found[1]}/save", {"ticket": page.json()["ticket"]})
    assert saved.status_code == 200
    assert frames.changes == ["patient-7"]
    frames.clock.forward(seconds=4)
    replayed = browser.post(f"{found[1]}/save", {"ticket": page.json()["ticket"]})
    assert replayed.status_code == 401
    assert frames.changes == ["patient-7"]


@pytest.mark.proves("S22", "callback in another browser with the victim's link: 5 of 5 wrong secrets refused")
def test_a_launch_of_somebody_else_is_not_continued_without_its_secret(frames: Clinic) -> None:
    for secret in ("", "x", "x" * 43, None, "other"):
        attacker, victim = frames.browser(cookies=False), frames.browser(cookies=False)
        left = attacker.launch()
        other = data(victim.launch(), "secret")
        back = victim.get(attacker.sign_in(left))
        form = {"launch": field(back, "launch")} | (
            {} if secret is None else {"secret": secret.replace("other", other)}
        )
        refused = victim.post("/smart/callback", form)
        assert refused.status_code == 403
        assert title(refused) == "This sign-in belongs to another window"
        late = attacker.post("/smart/callback", {"launch": field(back, "launch"), "secret": data(left, "secret")})
        assert late.status_code == 400, "a wrong guess has spent it"
    assert len(frames.smart.sessions) == 0
    assert not frames.ehr.posts


@pytest.mark.proves("R42", "another browser's cookie refused; the code is not exchanged")
def test_a_callback_with_another_launchs_cookie_is_refused(clinic: Clinic) -> None:
    attacker, victim = clinic.browser(), clinic.browser()
    link = attacker.sign_in(attacker.launch())
    name = next(iter(attacker.http.cookies))
    victim.http.cookies.set(name, "guessed")
    refused = victim.get(link)
    assert refused.status_code == 403
    assert not clinic.ehr.posts


@pytest.mark.proves("S26", "no window.open in the script; the way out is a link with target=_blank rel=noopener")
def test_where_nothing_is_kept_the_page_offers_a_tab_of_its_own(frames: Clinic) -> None:
    browser = frames.browser(cookies=False)
    back = browser.get(browser.sign_in(browser.launch()))
    link = re.search(r'<a class="button" href="([^"]+)" target="_blank" rel="noopener">', back.text)
    assert link
    assert "Open the app in a new tab" in back.text
    tab = frames.browser()
    again = tab.get(link[1].replace("&amp;", "&"), sec_fetch_dest="document")
    assert asked(again)["launch"] == "launch-1"
    assert tab.get(tab.sign_in(again)).status_code == 303
    script = browser.get("/smart/passage.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "window.open" not in script.text
    assert browser.http.get("/smart/passage.js", headers={"if-none-match": script.headers["etag"]}).status_code == 304


@pytest.mark.proves(
    "S23", "10 launches in one browser: each session opens by its own cookie, 90 of 90 tries with another's refused"
)
def test_several_charts_in_one_browser_never_mix(clinic: Clinic) -> None:
    browser = clinic.browser()
    started = [(number, browser.launch(f"launch-{number}")) for number in range(10)]
    paths = {}
    for number, left in reversed(started):  # they come back in another order than they began
        back = browser.get(browser.sign_in(left, f"patient-{number}"))
        paths[f"patient-{number}"] = back.headers["location"]
    assert {name: browser.get(path).json()["patient"] for name, path in paths.items()} == {name: name for name in paths}
    cookies = {name: value for name, value in browser.http.cookies.items() if "launch" not in name}
    assert len(cookies) == 10
    for path in paths.values():
        allowed = 0
        for value in cookies.values():
            thief = clinic.browser()
            for name in cookies:
                thief.http.cookies.set(name, value)
            allowed += thief.get(path).status_code == 200
        assert allowed == 1, "only its own cookie, under whichever name it is brought"


@pytest.mark.proves("R41", "a cookie and an id set beforehand open nothing after the callback, 2 of 2")
def test_a_session_that_was_planted_does_not_survive_the_callback(clinic: Clinic) -> None:
    attacker, victim = clinic.browser(), clinic.browser()
    planted = attacker.opened("patient-9")
    for name, value in attacker.http.cookies.items():
        victim.http.cookies.set(name, value)
    path = victim.opened("patient-7")
    assert path != planted
    assert attacker.get(path).status_code == 401
    assert victim.get(path).json()["patient"] == "patient-7"
    again = victim.opened("patient-7")
    assert again not in {path, planted}


@pytest.mark.proves("S21", "cookies opaque, __Host-, Secure, HttpOnly, Path=/; None+Partitioned in frames, else Lax")
@pytest.mark.proves("R42", "SameSite=None; Partitioned only where embedding is on, else Lax: 4 of 4 cookies")
def test_cookies_are_locked_to_this_site_and_partitioned_only_for_frames(make_clinic: Callable[..., Clinic]) -> None:
    for one, same_site in ((table(), "SameSite=Lax"), (framed(), "SameSite=None; Partitioned")):
        browser = make_clinic(one).browser()
        left = browser.launch()
        back = browser.get(browser.sign_in(left))
        made = [line for line in (*left.headers.get_list("set-cookie"), *back.headers.get_list("set-cookie"))
                if "Max-Age=0" not in line]  # fmt: skip
        assert len(made) == 2
        for line in made:
            assert line.startswith("__Host-bedside-")
            assert line.endswith(f"; Secure; HttpOnly; {same_site}")
            assert "; Path=/; " in line
            assert "Domain" not in line
        text = " ".join(made)
        assert not any(secret in text for secret in ("canary", "patient-7", "code-", "eyJ"))


@pytest.mark.proves("S21", "access, refresh and id token in 0 headers and 0 bodies of 4 responses")
def test_no_token_reaches_the_browser(clinic: Clinic) -> None:
    browser = clinic.browser()
    left = browser.launch()
    back = browser.get(browser.sign_in(left))
    page = browser.get(back.headers["location"])
    for said in (left, back, page, browser.get("/.well-known/jwks.json")):
        assert "access-canary" not in said.text + str(said.headers)
        assert "refresh-canary" not in said.text + str(said.headers)
        assert "eyJ" not in said.text + str(said.headers)


@pytest.mark.proves("S23", "20 charts open at once: 20 of 20 keep their cookie")
def test_no_open_chart_loses_its_cookie(clinic: Clinic) -> None:
    browser = clinic.browser()
    homes = [browser.opened(f"patient-{number}", f"launch-{number}") for number in range(20)]
    assert [browser.get(home).json()["patient"] for home in homes] == [f"patient-{number}" for number in range(20)]


def test_a_days_cookies_do_not_pile_up(clinic: Clinic) -> None:
    browser = clinic.browser()
    for number in range(40):
        browser.opened(launch=f"launch-{number}")
        clinic.clock.forward(minutes=4)
    assert len(browser.http.cookies) <= 6, "those of the last quarter of an hour"


@pytest.mark.proves("S9", "a long request is posted from a page whose form-action names that server alone")
def test_a_long_authorization_request_is_a_form(clinic: Clinic) -> None:
    browser = clinic.browser()
    left = browser.launch("x" * 2_000)
    assert left.status_code == 200
    assert f'method="post" action="{AUTHORIZE}"' in left.text
    assert '<button type="submit">' in left.text
    assert "form-action 'self' https://login.ehr.example;" in left.headers["content-security-policy"]
    assert asked(left)["launch"] == "x" * 2_000
    assert browser.get(browser.sign_in(left)).status_code == 303


def test_in_a_tab_even_a_frameable_app_redirects_at_once(frames: Clinic) -> None:
    assert frames.browser().launch(sec_fetch_dest="document").status_code == 303


def test_a_preview_of_the_link_begins_no_sign_in(clinic: Clinic) -> None:
    browser = clinic.browser()
    link = f"/smart/launch?iss={BASE}&launch=x"
    assert browser.http.head(link).status_code == 405
    assert len(clinic.smart.launches) == 0
    back = browser.sign_in(browser.launch())
    assert browser.http.head(back).status_code == 405
    assert browser.get(back).status_code == 303


@pytest.mark.proves(
    "S24", "frame-ancestors = the EHR's, and X-Frame-Options absent; else 'none' and DENY; 5 pages each"
)
@pytest.mark.proves("R44", "the policy's 10 directives on every page")
def test_every_page_has_its_headers(make_clinic: Callable[..., Clinic]) -> None:
    for one, ancestors in ((table(), "'none'"), (framed(), FRAMES)):
        browser = make_clinic(one).browser()
        home = browser.opened()
        pages = [
            browser.get(home), browser.launch(), browser.get(f"{home}?patient=other"),
            browser.get("/smart/callback?state=unknown&code=x"), browser.get("/smart/standalone"),
        ]  # fmt: skip
        for number, page in enumerate(pages):
            theirs = ancestors if number < 3 else "'none'"  # whose launch it is, is not known on the last two
            assert page.headers["content-security-policy"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
                "connect-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; "
                f"frame-ancestors {theirs}"
            )
            assert page.headers.get("x-frame-options") == ("DENY" if theirs == "'none'" else None)
            assert page.headers["referrer-policy"] == "no-referrer"
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.proves("S13", "JWKS: no authentication, Cache-Control, 2 keys of each algorithm")
def test_our_keys_are_public(make_clinic: Callable[..., Clinic], own_keys: OwnKeys) -> None:
    browser = make_clinic(table(smart={"auth": "private_key_jwt", "algorithm": "RS384"}), keys=own_keys).browser()
    said = browser.get("/.well-known/jwks.json")
    assert said.headers["cache-control"] == "public, max-age=3600"
    assert said.headers["content-type"] == "application/json"
    keys = json.loads(said.text)["keys"]
    assert sorted(key["alg"] for key in keys) == ["ES384", "ES384", "RS384", "RS384"]
    browser.clinic.ehr.client_keys = said.content
    assert browser.opened()


PAYLOADS = [
    "https://evil.example", "//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)",
    "data:text/html,x", "https://localhost@evil.example", "https://localhost.evil.example", "%2f%2fevil.example",
    "\tjavascript:alert(1)", "https://evil.example/smart/callback", "///evil.example", "https://evil%2eexample",
    "http://169.254.169.254/", "/smart/../../evil", "https://evil.example\r\nSet-Cookie: a=b", "@evil.example",
    "https://ehr.example.evil.example", "//evil.example/%2e%2e", "https://[::1]@evil.example",
]  # fmt: skip


NAMES = ("next", "redirect_uri", "redirect", "url", "return_to")


@pytest.mark.proves(
    "R45",
    "20 payloads in 9 parameters of 3 routes, callbacks with a valid code too: each 303 leads to our EHR or to us",
)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_parameter_leads_anywhere_else(clinic: Clinic, payload: str) -> None:
    browser, value = clinic.browser(), quote(payload, safe="")
    places = [f"/smart/standalone?iss={value}", f"/smart/launch?iss={value}&launch=x", f"/smart/callback?code={value}"]
    places += [f"/smart/callback?state={value}&code=x", f"/smart/launch?iss={BASE}&launch={value}"]
    for name in NAMES:
        places += [f"/smart/{road}?iss={BASE}&launch=x&{name}={value}" for road in ("launch", "standalone")]
    for place in places:
        said = browser.get(place)
        location = said.headers.get("location", "")
        assert not location or location.startswith(f"{AUTHORIZE}?"), place
        assert not location or asked(said)["redirect_uri"] == f"{HOME}/smart/callback"
        assert all(line.startswith("__Host-bedside-") for line in said.headers.get_list("set-cookie"))
    for name in NAMES:
        back = browser.get(f"{browser.sign_in(browser.launch())}&{name}={value}")
        assert re.fullmatch(r"/smart/app/[A-Za-z0-9_-]{22}", back.headers["location"])


def test_nothing_of_a_launch_stands_in_the_log(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    browser = clinic.browser()
    left = browser.launch()
    back = browser.sign_in(left)
    home = browser.get(back).headers["location"]
    browser.get(home)
    browser.get(back)
    said = capsys.readouterr()
    text = said.out + said.err
    assert "north-clinic" in text
    assert "state-replayed" in text
    secrets = [*asked(left).values(), home.rpartition("/")[2], *browser.http.cookies.values()]
    for secret in [*(one for one in secrets if len(one) > 10 and one != BASE), "canary", "patient-7", "?"]:
        assert secret not in text


def client_error(said: httpx.Response) -> bool:
    return 400 <= said.status_code < 500


def test_a_parameter_that_stands_there_twice_is_refused(clinic: Clinic) -> None:
    browser: Browser = clinic.browser()
    state = asked(browser.launch())["state"]
    for query in (f"state={state}&state={state}&code=x", f"state={state}&code=x&code=y"):
        assert client_error(browser.get(f"/smart/callback?{query}"))
    assert client_error(browser.get(f"/smart/launch?iss={BASE}&iss=https://evil.example&launch=x"))
    assert TOKEN not in {str(request.url) for request in clinic.ehr.asked}
