"""The addresses of SMART App Launch on the demo EHR: discovery, authorize, token, keys, and the launch itself."""

from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from authlib.oauth2.rfc6749 import OAuth2Error
from fastapi import APIRouter, Request, Response
from jinja2 import DictLoader, Environment
from starlette.responses import JSONResponse

from cds.web.demo.assertion import ALGORITHMS
from cds.web.demo.authorization import Pairs, SmartRequestOverHttp
from cds.web.demo.conduct import CLINICIAN
from cds.web.demo.ehr import Ehr, root_of
from cds.web.demo.kept import Context
from cds.web.demo.records import Refused
from cds.web.demo.scopes import SUPPORTED
from cds.web.demo.stories import patients_on

LARGEST_FORM = 64 * 1024
_NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_PAGES = ("page.html", "choose.html", "refused.html")


class Launched(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What the demo page says when a clinician opens an app."""

    patient: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    encounter: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    app_context: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


def demo_smart(ehr: Ehr) -> APIRouter:
    """Everything but FHIR itself, to be mounted at the EHR's prefix."""
    router = APIRouter()
    pages = _pages()

    @router.get("/fhir/.well-known/smart-configuration")
    async def smart_configuration(request: Request) -> Response:
        await ehr.at("discovery")
        return _public(_smart_configuration(ehr, root_of(request)))

    @router.get("/auth/.well-known/openid-configuration")
    async def openid_configuration(request: Request) -> Response:
        await ehr.at("discovery")
        return _public(_openid_configuration(ehr, root_of(request)))

    @router.get("/auth/jwks")
    async def jwks() -> Response:
        await ehr.at("keys")
        key = ehr.keys.of(ehr.conduct.signing).as_dict(private=False)
        if not ehr.conduct.id_token_kid:
            key.pop("kid", None)
        return _public({"keys": [key]})

    @router.api_route("/auth/authorize", methods=["GET", "POST"])
    async def authorize(request: Request) -> Response:
        await ehr.at("authorize")
        return _authorized(ehr, request, await _sent(request), pages)

    @router.post("/auth/token")
    async def token(request: Request) -> Response:
        await ehr.at("token")
        sent = await _sent(request)
        assertion = dict(sent).get("client_assertion")
        keys = await ehr.keys_of(assertion) if assertion else None
        answer: Response = ehr.server(request, keys).create_token_response(_asked(request, sent))
        return answer

    @router.post("/launch")
    async def launch(request: Request) -> Response:
        return await _launched(ehr, request)

    return router


def _smart_configuration(ehr: Ehr, root: str) -> dict[str, Any]:
    where = urlsplit(f"{root}/auth").path if ehr.conduct.relative_endpoints else f"{root}/auth"
    return {
        "issuer": f"{root}/auth",
        "jwks_uri": f"{where}/jwks",
        "authorization_endpoint": f"{where}/authorize",
        "token_endpoint": f"{where}/token",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": ["authorization_code"],
        "response_types_supported": ["code"],
        "scopes_supported": [scope for scope in SUPPORTED if ehr.conduct.permission_v2 or not scope.endswith("s")],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": list(ehr.conduct.capabilities),
    }


def _openid_configuration(ehr: Ehr, root: str) -> dict[str, Any]:
    return {
        "issuer": f"{root}/auth",
        "jwks_uri": f"{root}/auth/jwks",
        "authorization_endpoint": f"{root}/auth/authorize",
        "token_endpoint": f"{root}/auth/token",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ehr.conduct.signing],
        "code_challenge_methods_supported": ["S256"],
    }


def _authorized(ehr: Ehr, request: Request, sent: Pairs, pages: Environment) -> Response:
    server, asked = ehr.server(request), _asked(request, sent)
    answer: Response
    try:
        # Nobody signs in: whoever sits before this machine is the demo's clinician, and every chart is synthetic.
        grant = server.get_consent_grant(asked, end_user=CLINICIAN)
    except OAuth2Error as error:
        if error.redirect_uri:
            answer = server.handle_error_response(asked, error)
            return answer
        return _page(pages, "refused.html", 400, "", reason=error.description or error.error)
    if ehr.conduct.denied:
        return server.refuse(asked, grant.redirect_uri)
    offered = patients_on(ehr.today())
    chosen = dict(sent).get("choose")
    context = server.context(asked) if chosen is None or chosen in {patient.id for patient in offered} else None
    if context is None:
        fields = [pair for pair in sent if pair[0] != "choose"]
        return _page(pages, "choose.html", 200, grant.redirect_uri, patients=offered, fields=fields)
    answer = server.create_authorization_response(asked, grant_user=context, grant=grant)
    return answer


async def _launched(ehr: Ehr, request: Request) -> Response:
    # Asking for JSON keeps foreign pages out: they cannot send it without a preflight, which nobody answers.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _problem(415, "application/json is expected")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return _problem(403, "only the EHR's own page launches apps")
    try:
        asked = msgspec.json.decode(await _body(request), type=Launched)
        if asked.patient is not None:
            ehr.records.read("Patient", asked.patient)
        if asked.encounter is not None:
            encounter = ehr.records.read("Encounter", asked.encounter)
            if encounter.get("subject", {}).get("reference") != f"Patient/{asked.patient}":
                return _problem(400, "the encounter is another patient's")
    except msgspec.DecodeError:
        return _problem(400, "a launch is patient, encounter and appContext, each a string or absent")
    except Refused as refused:
        return _problem(refused.status, refused.text)
    launched = ehr.launch(Context(asked.patient, asked.encounter, asked.app_context))
    return JSONResponse({"launch": launched}, headers=_NO_STORE)


async def _sent(request: Request) -> Pairs:
    """The parameters of a GET's query or of a POST's form."""
    if request.method == "GET":
        return parse_qsl(request.url.query, keep_blank_values=True)
    return parse_qsl((await _body(request)).decode("utf-8", "replace"), keep_blank_values=True)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return b""  # read as a request without parameters, which is refused as such
    return bytes(body)


def _asked(request: Request, sent: Pairs) -> SmartRequestOverHttp:
    return SmartRequestOverHttp(request.method, str(request.url.replace(query="")), sent, dict(request.headers))


def _pages() -> Environment:
    folder = files(__package__) / "templates"
    found = {name: (folder / name).read_text(encoding="utf-8") for name in _PAGES}
    return Environment(loader=DictLoader(found), autoescape=True)


def _page(pages: Environment, name: str, status: int, redirect_uri: str, **shown: Any) -> Response:
    # The browser holds a form's redirect to form-action too, and this one ends at the app.
    app = "{0.scheme}://{0.netloc}".format(urlsplit(redirect_uri)) if redirect_uri else ""
    policy = f"default-src 'none'; style-src 'self'; form-action 'self' {app}; base-uri 'none'; frame-ancestors 'self'"
    headers = {**_NO_STORE, "Content-Security-Policy": policy}
    return Response(pages.get_template(name).render(shown), status, headers, "text/html; charset=utf-8")


def _public(document: dict[str, Any]) -> Response:
    return JSONResponse(document, headers={**_NO_STORE, "Access-Control-Allow-Origin": "*"})


def _problem(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status, _NO_STORE)
