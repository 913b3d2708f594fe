"""The same call twice: one answer, one row (D21); and many patients at once, each with their own answer (R32)."""

import asyncio
import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from cds.cdshooks.answer import answer
from cds.cdshooks.record import record_of
from tests.cdshooks.broken import Raises, with_models
from tests.cdshooks.charts import Json, kidney
from tests.cdshooks.desk import PATH, SERVICE, Desk, site, without
from tests.cdshooks.ehr import BASE, TOKEN, Ehr

Open = Callable[..., Desk]


def counts(desk: Desk) -> list[int]:
    return [answer.repeats for answer in desk.answers()]


def test_an_identical_call_gets_the_same_bytes_and_one_row(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney()))
    answers = {desk.post(body).content for _ in range(20)}
    assert len(answers) == 1
    assert counts(desk) == [19]


def test_silence_is_replayed_too(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney(48, 30)))
    assert {desk.post(body).content for _ in range(3)} == {b'{"cards":[]}'}
    assert counts(desk) == [2]


@pytest.mark.proves("R47", "the same hookInstance with another body: computed anew, other ids")
def test_another_body_is_computed_anew(desk: Desk) -> None:
    call = desk.call(kidney(34, 310))
    first = desk.post(call).json()["cards"][0]
    other = desk.post(desk.call(kidney(34, 900)) | {"hookInstance": call["hookInstance"]}).json()["cards"][0]
    assert first["uuid"] != other["uuid"]
    assert first["detail"] != other["detail"]
    assert counts(desk) == [0, 0]


def test_the_token_is_no_part_of_what_is_the_same(desk: Desk) -> None:
    call = desk.call(kidney()) | {"fhirServer": BASE}
    answers = {desk.post(call | {"fhirAuthorization": TOKEN | {"access_token": str(n)}}).content for n in range(3)}
    assert len(answers) == 1
    assert counts(desk) == [2]


def test_the_token_is_no_part_of_it_in_an_odd_body_either(lenient: Desk) -> None:
    call = lenient.call(kidney()) | {"fhirServer": BASE}
    call["prefetch"]["patient"] = [call["prefetch"]["patient"]]
    for n in range(2):
        assert lenient.post(call | {"fhirAuthorization": TOKEN | {"access_token": str(n)}}).status_code == 200
    assert counts(lenient) == [1]


def test_after_five_minutes_it_is_computed_anew_with_the_same_ids(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney()))
    first = desk.post(body).json()["cards"][0]
    desk.now += timedelta(minutes=4, seconds=59)
    assert desk.post(body).json()["cards"][0]["detail"] == first["detail"]
    desk.now += timedelta(seconds=62)
    later = desk.post(body).json()["cards"][0]
    assert "Calculated 22 Nov 2026 14:08 UTC" in later["detail"]
    assert later["uuid"] == first["uuid"]
    assert counts(desk) == [1, 0]


def test_what_was_fetched_is_never_replayed(open_desk: Open, ehr: Ehr) -> None:
    desk = open_desk(fhir_servers=(BASE,))
    ehr.resources = kidney()
    body = json.dumps(without(desk.call(kidney()), "uacr") | {"fhirServer": BASE, "fhirAuthorization": TOKEN})
    desk.post(body)
    ehr.resources = kidney(34, 900)
    assert "900 mg/g" in desk.post(body).json()["cards"][0]["detail"]
    assert counts(desk) == [0, 0]


@pytest.mark.proves("R47", "errors are never replayed: 6 of 6 computed anew")
def test_errors_are_never_replayed(open_desk: Open, desk: Desk) -> None:
    broken = open_desk(with_models(site(), kfre_4=Raises))
    for server, body in (
        (desk, json.dumps(without(desk.call(kidney()), "uacr"))),
        (broken, json.dumps(broken.call(kidney()))),
    ):
        for _ in range(3):
            assert server.post(body).status_code in (412, 500)
        assert counts(server) == [0, 0, 0]


def test_another_setting_is_another_answer(open_desk: Open) -> None:
    body = json.dumps(open_desk().call(kidney()))
    desks = [open_desk(), open_desk(model={"region": "elsewhere"}), open_desk(service={"show_low_risk": True})]
    keys = set()
    for desk in desks:
        deployed = desk.site.services[SERVICE]
        keys.add(record_of(asyncio.run(answer(deployed, body.encode(), desk.now)), deployed).replay_key)
    assert None not in keys
    assert len(keys) == 3


def people(count: int) -> list[tuple[str, int, int, list[Json]]]:
    """Patients of whom no two have the same age and albumin."""
    return [
        (f"p{n}", 40 + n % 40, 400 + n, kidney(30, 400 + n, age=40 + n % 40, of=f"p{n}", chronic=n % 3 == 0))
        for n in range(count)
    ]


async def _interleaved(
    desk: Desk, rounds: int, everyone: list[tuple[str, int, int, list[Json]]]
) -> list[tuple[Any, ...]]:
    chance = random.Random(20261122)
    wrong: list[tuple[Any, ...]] = []
    transport = httpx.ASGITransport(app=desk.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

        async def one(of: str, age: int, acr: int, resources: list[Json]) -> None:
            await asyncio.sleep(chance.random() / 20)
            response = await client.post(PATH, json=desk.call(resources, of=of))
            (card,) = response.json()["cards"]
            created = [a["resource"] for s in card["suggestions"] for a in s["actions"]]
            fits = f"| {age}, male |" in card["detail"] and f"| {acr} mg/g" in card["detail"]
            if not fits or any(r["subject"]["reference"] != f"Patient/{of}" for r in created):
                wrong.append((of, card))

        for _ in range(rounds):
            chance.shuffle(everyone)
            await asyncio.gather(*(one(*person) for person in everyone))
    return wrong


@pytest.mark.proves(
    "R32",
    "200 patients at once, 50 rounds in make proof (2 in make test): 10,000 of 10,000 answers match their patient",
)
@pytest.mark.proof
def test_r32_two_hundred_patients_at_once_each_get_their_own_answer(desk: Desk, campaign: Callable[[int], int]) -> None:
    rounds = campaign(50)
    assert asyncio.run(_interleaved(desk, rounds, people(200))) == []
    kept = desk.answers()
    assert len(kept) == 200 * rounds
    for one in kept[:200]:
        number = int(one.patient.rpartition("/p")[2])
        assert {v["name"]: v.get("value") for v in one.scores[0].inputs}["acr"] == 400 + number
