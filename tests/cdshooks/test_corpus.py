"""What other people's clients send, and what their schemas say of what we send."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cdshooks.charts import Json, kidney
from tests.cdshooks.desk import Desk

INSTANCE = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"


@pytest.fixture(scope="module")
def corpus(shared_data: Path) -> Path:
    return shared_data / "corpus"


def documents(corpus: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(corpus.rglob("*.json")):
        if not path.parent.name.startswith("schemas"):
            yield str(path.relative_to(corpus)), json.loads(path.read_text(encoding="utf-8"))


def requests(corpus: Path) -> list[tuple[str, Json]]:
    """Every document that is a hook call, by what it holds and not by its name."""
    return [
        (name, body)
        for name, body in documents(corpus)
        if isinstance(body, dict) and "hook" in body and "context" in body
    ]


def schema(corpus: Path, name: str) -> jsonschema.Draft202012Validator:
    text = (corpus / "schemas-derived" / f"{name}.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text), format_checker=jsonschema.FormatChecker())


def as_patient_view(body: Json) -> Json:
    return body | {"hook": "patient-view", "hookInstance": INSTANCE}


OF_OTHER_HOOKS = {
    "draftOrders",
    "selections",
    "appointments",
    "medications",
    "dispatchedOrders",
    "performer",
    "fulfillmentTasks",
}


def breaks_the_rules(corpus: Path, body: Json) -> bool:
    """Whether a patient-view call is not as the standard wants it; another hook's context members are unknown to it."""
    faults = [list(error.absolute_path) for error in schema(corpus, "request").iter_errors(body)]
    return any(not (path[:1] == ["context"] and path[1:2] and path[1] in OF_OTHER_HOOKS) for path in faults)


def test_the_corpus_is_all_there(corpus: Path) -> None:
    assert len(requests(corpus)) >= 40


def test_every_document_posted_as_it_is_gets_an_orderly_answer(corpus: Path, desk: Desk, lenient: Desk) -> None:
    for name, body in documents(corpus):
        assert desk.post(body).status_code in (400, 412), name
        assert lenient.post(body).status_code in (200, 400, 412), name
        assert desk.post(body, "/cds-services/kidney-failure-risk/feedback").status_code in (200, 400), name


def test_strict_refuses_what_breaks_the_rules_and_lenient_never_fails(corpus: Path, desk: Desk, lenient: Desk) -> None:
    """Nobody's example holds what the kidney service needs, so a call in order ends in 412."""
    for name, body in requests(corpus):
        call = as_patient_view(body)
        strict = desk.post(call)
        assert strict.status_code in (400, 412), name
        assert strict.json()["resourceType"] == "OperationOutcome"
        tolerated = lenient.post(call)
        assert tolerated.status_code in (200, 400, 412), name
        if tolerated.status_code == 400:
            assert tolerated.json()["issue"][0]["expression"][0].startswith("context"), (name, tolerated.text)


def test_a_complete_prefetch_is_answered_whatever_else_a_client_sends(corpus: Path, desk: Desk, lenient: Desk) -> None:
    answered = 0
    for name, body in requests(corpus):
        of = body["context"].get("patientId")
        if not isinstance(of, str) or "/" in of or not body["context"].get("userId"):
            continue
        call = as_patient_view(body) | {"prefetch": desk.call(kidney(of=of), of=of)["prefetch"]}
        assert lenient.post(call).status_code == 200, (name, lenient.post(call).text)
        assert (desk.post(call).status_code == 200) is not breaks_the_rules(corpus, call), name
        answered += 1
    assert answered >= 17


@pytest.mark.parametrize("version", ["2.0.1", "3.0"])
def test_our_discovery_is_valid(corpus: Path, open_desk: Callable[..., Desk], version: str) -> None:
    document = open_desk(cds_hooks=version).http.get("/cds-services").json()
    assert [error.message for error in schema(corpus, "discovery").iter_errors(document)] == []


def test_our_calls_are_valid_too(corpus: Path, desk: Desk) -> None:
    assert [error.message for error in schema(corpus, "request").iter_errors(desk.call(kidney()))] == []
