"""CDS Hooks, section B: what a client learns about a site's services."""

import re
from collections.abc import Callable

import pytest

from cds import Guidance, HookCall, hook
from cds.cdshooks.context import HOOKS
from cds.errors import SiteError
from tests.cdshooks.broken import beside
from tests.cdshooks.charts import kidney
from tests.cdshooks.desk import PATH, SERVICE, Desk, outcome, site

TOKEN = re.compile(r"\{\{(.*?)\}\}")
FIRST_LEVEL = {"context.patientId", "context.userId", "context.encounterId"}


def services(desk: Desk) -> list[dict[str, object]]:
    found: list[dict[str, object]] = desk.http.get("/cds-services").json()["services"]
    return found


def templates(desk: Desk) -> dict[str, str]:
    return {str(k): str(v) for k, v in desk.templates.items()}


@hook("patient-view", id="silent", title="Silent", description="Says nothing", models=("kfre-4",))
def silent(call: HookCall) -> Guidance:
    return Guidance(reason="silent")


def test_c09_discovery_is_an_object_with_services(desk: Desk) -> None:
    response = desk.http.get("/cds-services")
    assert response.status_code == 200
    assert list(response.json()) == ["services"]
    assert isinstance(response.json()["services"], list)


def test_c10_without_a_service_the_list_is_empty(open_desk: Callable[..., Desk]) -> None:
    response = open_desk(service={"stage": "off"}).http.get("/cds-services")
    assert (response.status_code, response.json()) == (200, {"services": []})


def test_c11_each_service_has_hook_description_and_id(desk: Desk) -> None:
    assert services(desk)
    for service in services(desk):
        assert all(isinstance(service[name], str) and service[name] for name in ("hook", "description", "id"))


def test_c12_each_service_has_a_title(desk: Desk) -> None:
    assert {s["title"] for s in services(desk)} == {"Kidney failure risk"}


@pytest.mark.parametrize(("advertised", "version"), [("2.0.1", None), ("3.0", "3.0.0-ballot")])
def test_c13_version_is_said_where_the_standard_has_it(
    open_desk: Callable[..., Desk], advertised: str, version: str | None
) -> None:
    assert {s.get("version") for s in services(open_desk(cds_hooks=advertised))} == {version}


def test_c14_hook_version_is_the_published_one(desk: Desk, open_desk: Callable[..., Desk]) -> None:
    assert not any("hookVersion" in s for s in services(desk))
    versions = {s["hook"]: s["hookVersion"] for s in services(open_desk(cds_hooks="3.0"))}
    assert versions == {"patient-view": "1.0", "encounter-start": "1.0", "problem-list-item-create": "0.1.0"}


def test_c15_each_advertised_id_is_an_endpoint(desk: Desk) -> None:
    for service in services(desk):
        assert re.fullmatch(r"[A-Za-z0-9.\-]+", str(service["id"]))
        assert desk.post({}, f"/cds-services/{service['id']}").status_code == 400


@pytest.mark.parametrize("id_", ["", "a b", "a/b", "ä", "a?b", "x" * 65])
def test_c15_an_id_that_is_no_part_of_a_url_stops_the_start(id_: str) -> None:
    with pytest.raises(SiteError):
        hook("patient-view", id=id_, title="t", description="d", models=())


def test_c16_one_id_hears_several_hooks(desk: Desk) -> None:
    hooks = ["patient-view", "encounter-start", "problem-list-item-create"]
    assert [(s["id"], s["hook"]) for s in services(desk)] == [(SERVICE, h) for h in hooks]
    for name, context in zip(
        hooks, ({}, {"encounterId": "e1"}, {"conditions": {"resourceType": "Bundle"}}), strict=True
    ):
        assert desk.post(desk.call(kidney(), hook=name, context=context)).status_code == 200
        assert desk.last().hook == name


def test_c16_two_services_on_one_hook_never_answer_for_each_other(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(beside(site(), silent))
    call = desk.call(kidney())
    assert desk.post(call, "/cds-services/silent").json() == {"cards": []}
    assert len(desk.post(call).json()["cards"]) == 1
    assert desk.post(call, "/cds-services/silent").json() == {"cards": []}


def test_c17_prefetch_is_reads_and_searches(desk: Desk) -> None:
    assert templates(desk)
    for key, template in templates(desk).items():
        assert re.fullmatch(r"[A-Za-z]+", key)
        assert re.fullmatch(r"Patient/\{\{context\.patientId\}\}|[A-Z][A-Za-z]+\?\S+", template)


def test_c18_tokens_are_first_level_fields_of_the_context(desk: Desk) -> None:
    tokens = {token for template in templates(desk).values() for token in TOKEN.findall(template)}
    assert tokens <= FIRST_LEVEL
    assert all(template.count("{{") == template.count("}}") == 1 for template in templates(desk).values())


def test_c19_tokens_are_those_that_every_hook_offers(desk: Desk) -> None:
    tokens = {
        token.removeprefix("context.") for template in templates(desk).values() for token in TOKEN.findall(template)
    }
    assert tokens == {"patientId"}
    assert all("patientId" in HOOKS[str(s["hook"])].required for s in services(desk))


def test_c20_queries_use_only_what_every_server_knows(desk: Desk) -> None:
    for template in templates(desk).values():
        names = [part.partition("=")[0] for part in template.partition("?")[2].split("&") if part]
        assert set(names) <= {"patient", "code", "_sort", "_count"}
        assert len(names) == len(set(names))


def test_c21_no_template_depends_on_another(desk: Desk) -> None:
    assert not any("%" in template or "today()" in template for template in templates(desk).values())


def test_c22_observations_are_asked_for_by_code_and_number(desk: Desk) -> None:
    observations = [t for t in templates(desk).values() if t.startswith("Observation")]
    assert len(observations) == 6
    for template in observations:
        assert re.search(
            r"&code=http://loinc\.org\|\d+-\d(,http://loinc\.org\|\d+-\d)*&_sort=-date&_count=(10|100)$", template
        )


def test_c22_the_size_of_a_page_follows_what_is_needed(desk: Desk) -> None:
    counts = {key: re.findall(r"_count=(\d+)", template) for key, template in templates(desk).items()}
    assert counts == {
        "patient": [],
        "conditions": [],
        "procedures": ["100"],
        "encounters": ["100"],
        "creatinine": ["100"],
        "egfr": ["100"],
        "uacr": ["10"],
        "upcr": ["10"],
        "dialysisLabs": ["10"],
        "pregnancyStatus": ["10"],
    }


def test_c23_usage_requirements_name_what_may_be_left_out(desk: Desk) -> None:
    for service in services(desk):
        said = str(service["usageRequirements"])
        optional = [need.key for need in desk.site.services[SERVICE].needs if not need.required]
        assert optional == ["upcr"]
        assert all(key in said for key in optional)


def test_c24_extension_is_an_object(desk: Desk) -> None:
    assert all(isinstance(s["extension"], dict) for s in services(desk))


def test_c25_discovery_is_the_same_bytes_each_time(desk: Desk, open_desk: Callable[..., Desk]) -> None:
    first = desk.http.get("/cds-services")
    assert first.content == desk.http.get("/cds-services").content == open_desk().http.get("/cds-services").content
    assert first.headers["cache-control"] == "max-age=300"
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        unchanged = desk.http.get("/cds-services", headers={"If-None-Match": known})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert desk.http.get("/cds-services", headers={"If-None-Match": '"x"'}).status_code == 200


def test_c25_head_options_and_a_trailing_slash(desk: Desk) -> None:
    full = desk.http.get("/cds-services")
    head = desk.http.head("/cds-services")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(full.content)))
    assert desk.http.get("/cds-services/").content == full.content
    assert desk.http.options("/cds-services").headers["allow"] == "GET, HEAD, OPTIONS"
    assert desk.http.options(PATH).headers["allow"] == "POST, OPTIONS"
    assert desk.post(desk.call(kidney()), f"{PATH}/").status_code == 200
    assert desk.post({"feedback": []}, f"{PATH}/feedback/").status_code == 200


def test_off_is_unlisted_and_not_found(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(service={"stage": "off"})
    assert outcome(desk.post({}))["code"] == "not-found"
