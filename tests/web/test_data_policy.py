"""What each client's registration says of merged, test and restricted records holds for its calls."""

from collections.abc import Callable

import pytest

from tests.cdshooks.charts import Json, kidney, lab, person, request
from tests.cdshooks.desk import Desk, outcome, without
from tests.cdshooks.ehr import TOKEN
from tests.fhir.loopback import Loopback
from tests.web.clinic import Clinic, clinic, hospital

MERGED: Json = {"link": [{"other": {"reference": "Patient/p9"}, "type": "replaced-by"}]}
TEST = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}]}
SECRET = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}
RECORDS: dict[str, list[Json]] = {
    "merged": [person(**MERGED), *kidney()[1:]],
    "inactive": [person(active=False), *kidney()[1:]],
    "test": [person(meta=TEST), *kidney()[1:]],
    "restricted": [*kidney(), lab("9318-7", 30, "mg/g", ago=1, meta=SECRET)],
}


@pytest.fixture
def two(open_desk: Callable[..., Desk]) -> Clinic:
    """The hospital keeps the defaults, the clinic has set all three the other way."""
    return Clinic(open_desk, hospital(), clinic(merged="answer", test_patients="refuse", restricted="answer"))


@pytest.mark.parametrize(
    ("record", "at_the_hospital", "at_the_clinic"),
    [("merged", 412, 200), ("inactive", 412, 200), ("test", 200, 412), ("restricted", 412, 200)],
)
def test_each_client_has_its_own_policy(two: Clinic, record: str, at_the_hospital: int, at_the_clinic: int) -> None:
    found = two.desk.http.get("/cds-services", headers=two.hospital.headers("/cds-services")).json()
    call = request(RECORDS[record], found["services"][0]["prefetch"])
    answers = two.post(call, two.hospital), two.post(call, two.clinic)
    assert [answer.status_code for answer in answers] == [at_the_hospital, at_the_clinic]
    refused = next(answer for answer in answers if answer.status_code == 412)
    assert outcome(refused)["code"] == "business-rule"
    assert [(answer.status, answer.kind) for answer in two.desk.answers()].count((412, "unavailable")) == 1


def test_a_server_keeps_its_connections_to_an_ehr_until_it_stops(open_desk: Callable[..., Desk]) -> None:
    with Loopback(lambda _: (200, {}, b'{"resourceType":"Bundle","type":"searchset"}')) as ehr:
        desk = open_desk(fhir_servers=(ehr.base,))
        call = without(desk.call(kidney()), "creatinine") | {"fhirServer": ehr.base, "fhirAuthorization": TOKEN}
        with desk.http:
            for _ in range(5):
                assert desk.post(call).status_code == 200
        assert (len(ehr.seen), ehr.connections) == (5, 1)
