"""CDS Hooks, section A: what travels, and in which shape."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cds.web.cds_services import cds_services
from tests.cdshooks.charts import condition, kidney
from tests.cdshooks.desk import PATH, Desk, outcome


def members(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every member of a JSON value with its path."""
    yield path, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield from members(inner, f"{path}/{name}")


def test_c02_bodies_are_json_in_utf8_and_other_letters_survive(desk: Desk) -> None:
    acr = kidney(34, 35, unit="µg/日")
    response = desk.post(json.dumps(desk.call(acr), ensure_ascii=False))
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert "µg/日" in response.json()["cards"][0]["detail"]
    assert "µg/日".encode() in response.content


def test_c03_nothing_in_a_response_is_null_or_empty(desk: Desk) -> None:
    documents = [desk.http.get("/cds-services").json()]
    charts = (kidney(), kidney(48, 30), kidney(34, None), kidney(16, 1400))
    documents += [desk.post(desk.call(resources)).json() for resources in charts]
    documents.append(desk.post(b"{").json())
    for document in documents:
        empty = [path for path, value in members(document) if value in (None, "", [], {}) and value is not False]
        assert [path for path in empty if path != "/cards"] == []


def test_c04_resources_in_cards_are_objects(desk: Desk) -> None:
    card = desk.card(kidney())
    resources = [action["resource"] for s in card["suggestions"] for action in s["actions"]]
    assert [r["resourceType"] for r in resources] == ["RiskAssessment", "ServiceRequest"]


@pytest.mark.proves("R15", "15 bodies that are no JSON object: 400, nothing recorded")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b'{"hook": NaN}',
        b"\xef\xbb\xbf{}",
        b'{"hook":"\xff"}',
        b'{"unknown":"\xc3\x28"}',
        b'{"hook":"patient-view"} trailing',
        b"\x00",
        b'{"hook": "\\ud800"}',
        b'{"a":Infinity}',
    ],
)
def test_c05_what_is_no_json_object_gets_400(desk: Desk, body: bytes) -> None:
    response = desk.post(body)
    assert response.status_code == 400
    assert outcome(response)["code"] == "invalid"
    assert desk.answers() == []


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("text/plain", 415),
        ("application/xml", 415),
        ("application/jsonp", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/fhir+json", 200),
        ("application/fhir+json;charset=utf-8", 200),
    ],
)
def test_c06_content_type(desk: Desk, media: str, status: int) -> None:
    assert desk.post(desk.call(kidney()), content_type=media).status_code == status


def test_c06_no_content_type_is_taken_from_a_server_but_not_from_a_browser(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney())).encode()
    assert desk.http.post(PATH, content=body).status_code == 200
    assert desk.http.post(PATH, content=body, headers={"Origin": "https://elsewhere.example"}).status_code == 415


@pytest.mark.proves("R16", "5 content encodings: 415")
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "GZIP", "gzip, identity"])
def test_c06_an_encoded_body_gets_415(desk: Desk, coding: str) -> None:
    assert desk.post(desk.call(kidney()), content_encoding=coding).status_code == 415
    assert desk.post(desk.call(kidney()), content_encoding="identity").status_code == 200


def nested(depth: int) -> bytes:
    """An object that nests so deep, the outermost being the first level."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_c07_depth_64_is_read_and_65_is_not(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney()), separators=(",", ":")).encode()
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        step = opened.count(b"[") + opened.count(b"{")
        for depth in (64, 64 + step):
            levels = (depth - 1) // step
            inner = b"[" * ((depth - 1) % step) + opened * levels + b"1" + closed * levels + b"]" * ((depth - 1) % step)
            response = desk.post(body[:-1] + b',"unknown":' + inner + b"}")
            assert response.status_code == (200 if depth == 64 else 400), (opened, depth)


@pytest.mark.proves("R14", "nesting of 65 to 600,000: 400")
@pytest.mark.parametrize("depth", [65, 1_000, 100_000, 600_000])
def test_c07_a_bomb_gets_400(desk: Desk, depth: int) -> None:
    for opened, closed in ((b"[", b"]"), (b"[ ", b"] "), (b"[\n", b"]\n")):
        if len(opened) * depth * 2 < 2 * 1024 * 1024 and (depth > 65 or opened == b"["):
            assert desk.post(b'{"hook":' + opened * depth + closed * depth + b"}").status_code == 400
    assert desk.post(nested(min(depth, 200_000))).status_code == 400


@pytest.mark.proves("R14", "2,097,152 bytes: 200; one more: 413, with a length, without one and with a lying one")
def test_c07_the_limit_on_bytes_counts_what_arrives(desk: Desk) -> None:
    limit = desk.site.settings.body_bytes
    assert limit == 2 * 1024 * 1024
    body = json.dumps(desk.call(kidney())).encode()
    exact = body[:-1] + b" " * (limit - len(body)) + b"}"
    assert desk.post(exact).status_code == 200
    assert desk.post(exact + b" ").status_code == 413

    def chunks(whole: bytes) -> Iterator[bytes]:
        yield from (whole[i : i + 65_536] for i in range(0, len(whole), 65_536))

    streamed = {"content-type": "application/json"}
    assert desk.http.post(PATH, content=chunks(exact), headers=streamed).status_code == 200
    response = desk.http.post(PATH, content=chunks(exact + b" "), headers=streamed)
    assert (response.status_code, outcome(response)["code"]) == (413, "too-long")
    assert (
        desk.http.post(PATH, content=chunks(exact + b" "), headers=streamed | {"content-length": "5"}).status_code
        == 413
    )


@pytest.mark.proves("R14", "10,000 entries: 200; 10,001: 413")
def test_c07_ten_thousand_entries_and_one_more(desk: Desk) -> None:
    call = desk.call(kidney())
    entry = {"resource": {"resourceType": "Condition", "subject": {"reference": "Patient/p1"}}}
    for count, status in ((10_000, 200), (10_001, 413)):
        bundle = {"resourceType": "Bundle", "entry": [entry] * count}
        body = json.dumps(call | {"prefetch": call["prefetch"] | {"conditions": bundle}}, separators=(",", ":"))
        assert desk.post(body).status_code == status


def test_c07_of_duplicate_keys_the_last_wins(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney())).encode()
    assert desk.post(b'{"hook":"order-sign",' + body[1:]).status_code == 200
    assert desk.post(body[:-1] + b',"hook":"order-sign"}').status_code == 400


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_c07_a_number_that_is_not_finite_gets_400(desk: Desk, number: bytes) -> None:
    body = json.dumps(desk.call(kidney(34, 310))).encode()
    assert body.count(b'"value": 310') == 1
    assert desk.post(body.replace(b'"value": 310', b'"value": ' + number)).status_code == 400


def test_c07_minus_zero_is_a_number(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney(34, 310))).encode().replace(b'"value": 310', b'"value": -0')
    assert desk.post(body).status_code == 200


def test_c08_unknown_members_are_ignored(desk: Desk) -> None:
    call = desk.call(kidney(34, 310, condition("38341003")))
    plain = desk.post(call | {"hookInstance": "00000000-0000-4000-8000-000000000001"}).json()["cards"][0]
    more = call | {
        "hookInstance": "00000000-0000-4000-8000-000000000002",
        "extra": [1],
        "extension": {"com.x": {"y": 1}},
    }
    more["context"] = call["context"] | {"unknown": {"a": None}}
    more["prefetch"] = call["prefetch"] | {"unasked": {"resourceType": "Practitioner", "id": "x"}}
    assert desk.post(more).json()["cards"][0]["detail"] == plain["detail"]


def test_the_hot_road_is_plain_routes(desk: Desk) -> None:
    assert {type(route).__name__ for route in cds_services(desk.state)} == {"Route"}
