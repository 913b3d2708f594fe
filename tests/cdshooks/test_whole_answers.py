"""What cannot be read whole is never taken for "there is none": such a prefetch value is 412, and the key is named."""

import pytest

from tests.cdshooks.charts import UACR, Json, condition, kidney, lab
from tests.cdshooks.desk import PATH, Desk, outcome, with_key


def entries(*resources: Json) -> Json:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}


ESRD = condition("46177005")
NESTED = {"resourceType": "Bundle", "type": "batch-response", "entry": [{"resource": entries(ESRD)}]}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (NESTED, "a Bundle stands within the Bundle"),
        ({"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:1", "search": {"mode": "match"}}]}, "no resource"),
        ({"resourceType": "Bundle", "entry": [{}]}, "no resource"),
        ({"resourceType": "Bundle", "entry": [{"resource": None}]}, "no resource"),
        ({"resourceType": "Bundle", "entry": [{"response": {"status": "404"}}]}, "no resource"),
        ({"resourceType": "Bundle", "total": 5}, "its total is more than it holds"),
        (entries(condition("38341003")) | {"total": 5}, "its total is more than it holds"),
        (entries() | {"link": [{"relation": "next"}]}, "next page has no address"),
    ],
)
@pytest.mark.parametrize("key", ["conditions", "procedures"])
def test_c43_a_search_that_is_not_whole_is_not_none(desk: Desk, key: str, value: Json, said: str) -> None:
    response = desk.post(with_key(desk.call(kidney()), key, value))
    assert response.status_code == 412
    assert outcome(response)["expression"] == [f"prefetch.{key}"]
    assert said in outcome(response)["details"]["text"]


def test_a_latest_value_may_be_one_page_of_many(desk: Desk) -> None:
    """For the newest ratio one page of ten suffices, whatever the search found in all."""
    page = entries(lab(UACR, 310, "mg/g")) | {"total": 40}
    assert desk.post(with_key(desk.call(kidney()), "uacr", page)).status_code == 200


def test_a_latest_value_of_which_nothing_came_is_not_none(desk: Desk) -> None:
    assert desk.post(with_key(desk.call(kidney()), "uacr", entries() | {"total": 4})).status_code == 412


@pytest.mark.parametrize("value", ["x", 5, [1], True, {"resourceType": 5}, {"resourceType": "Bundle", "entry": {}}])
def test_c49_a_key_that_nobody_asked_for_is_ignored_whatever_it_holds(desk: Desk, value: object) -> None:
    call = desk.call(kidney())
    said, without = (desk.post(c).json()["cards"][0]["detail"] for c in (with_key(call, "zzz", value), call))
    assert said == without
    assert desk.post(with_key(call, "uacr", value)).status_code in (400, 412)


@pytest.mark.parametrize("member", ["card", "code", "system", "suggestion"])
def test_c93_an_id_with_a_control_character_is_refused(desk: Desk, member: str) -> None:
    """PostgreSQL keeps no NUL: as a 503 the client would send it for ever."""
    entry: Json = {
        "card": "\0" if member == "card" else "a",
        "outcome": "accepted" if member == "suggestion" else "overridden",
        "outcomeTimestamp": "2026-11-22T14:03:00Z",
        "acceptedSuggestions": [{"id": "\0"}] if member == "suggestion" else [],
        "overrideReason": {"reason": {"code": "a\0" if member == "code" else "a", "system": "s\0"}},
    }
    response = desk.post({"feedback": [entry]}, f"{PATH}/feedback")
    assert response.status_code == 400
