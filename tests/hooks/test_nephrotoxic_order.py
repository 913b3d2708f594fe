"""The warning on a nephrotoxic draft: which drafts, for which reasons, in which words, and when it keeps silent."""

from collections.abc import Callable
from typing import Any

import pytest

from cds.settings import read_settings
from cds.site import Site, load_site
from models._kidney.codes import NEPHROTOXIC
from tests.cdshooks.charts import CREATININE, ID, Json, condition, creatinine_for, lab, person
from tests.cdshooks.desk import Desk, outcome

SERVICE = "nephrotoxic-order"
PATH = f"/cds-services/{SERVICE}"
RXNORM, LOINC, CPT = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://loinc.org", "http://www.ama-assn.org/go/cpt"
ATC, SNOMED = "http://www.whocc.no/atc", "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
IBUPROFEN, GENTAMICIN, CT = (RXNORM, "197805"), (RXNORM, "313996"), (LOINC, "24628-0")
PARACETAMOL = (RXNORM, "198440")
Coded = tuple[str, str]
Open = Callable[..., Desk]


def served(**members: Any) -> Site:
    models = {"kfre": {"region": "north-america"}}
    return load_site(
        settings=read_settings(services={SERVICE: {"stage": "live"}}, models=models, answer_seconds=20.0, **members)
    )


def test_a_site_turns_it_on_by_its_name_only() -> None:
    assert SERVICE in served().services
    everything = load_site(settings=read_settings(default_stage="live", region="north-america"))
    assert "deterioration" in everything.services
    assert SERVICE not in everything.services
    assert everything.unavailable[SERVICE] == "off"


@pytest.fixture
def desk(open_desk: Open) -> Desk:
    return open_desk(served())


def concept(*codes: Coded) -> Json:
    return {"coding": [{"system": system, "code": code} for system, code in codes]}


def medicine(code: Coded, id_: str = "m1", **members: Any) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": id_,
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": concept(code),
        "subject": {"reference": f"Patient/{ID}"},
        **members,
    }


def study(code: Coded, id_: str = "s1", **members: Any) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "draft",
        "intent": "order",
        "code": concept(code),
        "subject": {"reference": f"Patient/{ID}"},
        **members,
    }


def bundle(*drafts: Any) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": draft} for draft in drafts]}


def sign(*drafts: Any) -> Json:
    return {"hook": "order-sign", "context": {"draftOrders": bundle(*drafts)}}


def select(selections: list[str], *drafts: Json) -> Json:
    return {"hook": "order-select", "context": {"draftOrders": bundle(*drafts), "selections": selections}}


def kidneys(egfr: float, *more: Json, age: int = 64, **members: Any) -> list[Json]:
    return [person(age), lab(CREATININE, creatinine_for(egfr, age), "mg/dL", **members), *more]


def card(desk: Desk, resources: list[Json], call: Json) -> Json:
    response = desk.post(desk.call(resources, **call), PATH)
    assert response.status_code == 200, response.text
    cards = response.json()["cards"]
    assert len(cards) <= 1
    return cards[0] if cards else {}


def reason(desk: Desk) -> str:
    return desk.last().reason or ""


LOW = kidneys(22)


@pytest.mark.parametrize(
    ("draft", "what"),
    [
        (medicine(IBUPROFEN), "NSAID"),
        (medicine((ATC, "M01AE01")), "NSAID"),
        (medicine(("urn:bedside:feature", "nsaid")), "NSAID"),
        (medicine(GENTAMICIN), "Aminoglycoside"),
        (medicine((ATC, "J01GB03")), "Aminoglycoside"),
        (medicine((ATC, "V08AB02")), "Iodinated contrast"),
        (study(CT), "Iodinated contrast"),
        (study((CPT, "74177")), "Iodinated contrast"),
        (study((SNOMED, "1331946003")), "Iodinated contrast"),
    ],
)
def test_a_warning_on_that_very_draft(desk: Desk, draft: Json, what: str) -> None:
    found = card(desk, LOW, sign(draft))
    assert found["summary"] == f"{what} drafted with eGFR 22 (2 Nov 2026): check the need, the dose and an alternative."
    assert found["indicator"] == "warning"
    [suggestion] = found["suggestions"]
    assert "isRecommended" not in suggestion
    [action] = suggestion["actions"]
    assert action["type"] == "delete"
    assert action["resourceId"] == f"{draft['resourceType']}/{draft['id']}"
    assert "resource" not in action
    assert action["description"]


@pytest.mark.parametrize(
    "draft",
    [
        medicine(PARACETAMOL),
        medicine((RXNORM, "243670")),  # aspirin 81 mg is not in the list
        medicine((ATC, "M01AX05")),  # glucosamine
        medicine((RXNORM, "855633")),  # diclofenac for the skin
        medicine((ATC, "M02AA13")),  # an ointment
        medicine(("urn:of-nobody", "197805")),
        study((LOINC, "29252-4")),  # CT chest without contrast
        medicine(IBUPROFEN, doNotPerform=True),
        medicine(IBUPROFEN, status="cancelled"),
        {"resourceType": "NutritionOrder", "id": "n1", "patient": {"reference": f"Patient/{ID}"}},
    ],
)
def test_silence_about_other_drafts(desk: Desk, draft: Json) -> None:
    assert card(desk, LOW, sign(draft)) == {}
    assert reason(desk) == "no-such-order"


@pytest.mark.parametrize(("egfr", "warned"), [(29.9, True), (30.1, False), (59, False), (90, False)])
def test_egfr_below_30_and_no_threshold_of_another_equation(desk: Desk, egfr: float, warned: bool) -> None:
    assert bool(card(desk, kidneys(egfr), sign(medicine(IBUPROFEN)))) is warned
    assert warned or reason(desk) == "no-reason-to-warn"


def test_an_egfr_just_below_30_is_not_said_to_be_30(desk: Desk) -> None:
    assert "eGFR 29.7 (" in card(desk, kidneys(29.7), sign(medicine(IBUPROFEN)))["summary"]


def test_creatinine_of_a_ward_counts(desk: Desk) -> None:
    ward = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": {"reference": f"Patient/{ID}"},
        "period": {"start": "2026-11-01"},
    }
    inside = kidneys(22, ward, encounter={"reference": "Encounter/e1"})
    assert "eGFR 22" in card(desk, inside, sign(medicine(IBUPROFEN)))["summary"]


ACUTE = [person(), lab(CREATININE, 1.6, "mg/dL", 1), lab(CREATININE, 1.0, "mg/dL", 4)]


def test_acute_injury_with_its_stage(desk: Desk) -> None:
    found = card(desk, ACUTE, sign(medicine(GENTAMICIN)))
    assert found["summary"].startswith("Aminoglycoside drafted with acute kidney injury, stage 1: ")


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (kidneys(80, condition("N17.9", ICD, ago=30)), "acute kidney injury (23 Oct 2026)"),
        (kidneys(80, condition("Z94.0", ICD, ago=900)), "a kidney transplant"),
        (
            [person(), lab(CREATININE, 1.6, "mg/dL", 20), lab(CREATININE, 0.9, "mg/dL", 90)],
            "a creatinine that rose from",
        ),
    ],
)
def test_other_reasons(desk: Desk, resources: list[Json], said: str) -> None:
    assert said in card(desk, resources, sign(medicine(GENTAMICIN)))["summary"]


PREGNANT = condition("Z34.0", ICD, ago=60)


@pytest.mark.parametrize(
    ("draft", "warned"), [(medicine(IBUPROFEN), True), (medicine(GENTAMICIN), False), (study(CT), False)]
)
def test_an_nsaid_alone_is_warned_of_in_pregnancy(desk: Desk, draft: Json, warned: bool) -> None:
    well = [person(30, "female"), lab(CREATININE, 0.7, "mg/dL"), PREGNANT]
    found = card(desk, well, sign(draft))
    assert bool(found) is warned
    if warned:
        assert found["summary"] == "NSAID drafted with pregnancy: check the need, the dose and an alternative."


def test_several_drafts_are_one_card_with_a_delete_for_each(desk: Desk) -> None:
    found = card(desk, LOW, sign(medicine(IBUPROFEN), medicine(PARACETAMOL, "m2"), study(CT)))
    assert found["summary"].startswith("NSAID and iodinated contrast drafted with eGFR 22 (2 Nov 2026)")
    deleted = [action["resourceId"] for s in found["suggestions"] for action in s["actions"]]
    assert deleted == ["MedicationRequest/m1", "ServiceRequest/s1"]


def test_of_order_select_only_what_was_selected_counts(desk: Desk) -> None:
    both = (medicine(IBUPROFEN), medicine(GENTAMICIN, "m2"))
    assert card(desk, LOW, select([], *both)) == {}
    found = card(desk, LOW, select(["MedicationRequest/m2"], *both))
    assert found["summary"].startswith("Aminoglycoside drafted")


URN = "urn:uuid:0f3cf2d6-5c5b-4c0e-9d64-1d9a51b4c0de"


@pytest.mark.parametrize(
    "selection", ["m1", "MedicationRequest/other", {"reference": "MedicationRequest/m1"}, None, ""]
)
def test_a_selection_that_names_no_draft_is_no_silence(open_desk: Open, desk: Desk, selection: Any) -> None:
    call = select(["MedicationRequest/m1", selection], medicine(IBUPROFEN), medicine(GENTAMICIN, "m2"))
    response = desk.post(desk.call(LOW, **call), PATH)
    assert response.status_code == 400
    assert outcome(response)["expression"] == ["context.selections[1]"]
    lenient = open_desk(served(lenient=True))
    assert card(lenient, LOW, call)["summary"].startswith("NSAID and aminoglycoside drafted")


@pytest.mark.parametrize(
    ("selection", "full_url", "id_"),
    [
        ("https://ehr.example/fhir/MedicationRequest/m1", None, "m1"),
        ("MedicationRequest/m1/_history/2", None, "m1"),
        ("MedicationRequest/m1", URN, "m1"),
        (URN, URN, "m1"),
        (URN, URN, None),
        ("MedicationRequest/m1", "https://ehr.example/fhir/MedicationRequest/m1", None),
    ],
)
def test_a_selection_is_found_by_its_path_and_by_its_full_url(
    desk: Desk, selection: str, full_url: str | None, id_: str | None
) -> None:
    draft = medicine(IBUPROFEN, id=id_) if id_ else {k: v for k, v in medicine(IBUPROFEN).items() if k != "id"}
    call = select([selection], medicine(GENTAMICIN, "m2"))
    call["context"]["draftOrders"]["entry"].append({"resource": draft} | ({"fullUrl": full_url} if full_url else {}))
    assert card(desk, LOW, call)["summary"].startswith("NSAID drafted")


def test_what_shall_not_be_done_and_other_orders_may_be_selected(desk: Desk) -> None:
    others = (medicine(IBUPROFEN, doNotPerform=True), {"resourceType": "NutritionOrder", "id": "n1"})
    assert card(desk, LOW, select(["MedicationRequest/m1", "NutritionOrder/n1"], *others)) == {}
    assert reason(desk) == "no-such-order"


def referring(to: str, *contained: Json) -> Json:
    draft = medicine(IBUPROFEN, medicationReference={"reference": to})
    del draft["medicationCodeableConcept"]
    return draft | ({"contained": list(contained)} if contained else {})


def mixture(*ingredients: Any, **members: Any) -> Json:
    return {"resourceType": "Medication", "ingredient": list(ingredients), **members}


MADE_OF = {"itemCodeableConcept": concept(IBUPROFEN)}


@pytest.mark.parametrize(
    "entries",
    [
        [
            {"resource": referring(URN)},
            {"fullUrl": URN, "resource": {"resourceType": "Medication", "code": concept(IBUPROFEN)}},
        ],
        [{"resource": referring("#a", mixture(MADE_OF, id="a"))}],
        [{"resource": referring(URN)}, {"fullUrl": URN, "resource": mixture("a text", MADE_OF)}],
        [
            {"resource": referring("Medication/mix")},
            {"resource": mixture({"itemReference": {"reference": URN}}, id="mix", code={"text": "a mixture"})},
            {"fullUrl": URN, "resource": {"resourceType": "Substance", "code": concept(IBUPROFEN)}},
        ],
    ],
    ids=["by urn", "contained ingredient", "ingredient by urn", "substance"],
)
def test_a_medicine_is_seen_wherever_the_bundle_keeps_it(desk: Desk, entries: list[Json]) -> None:
    call = sign()
    call["context"]["draftOrders"]["entry"] = entries
    assert card(desk, LOW, call)["summary"].startswith("NSAID drafted")


@pytest.mark.parametrize(
    "draft",
    [
        referring("Medication/elsewhere"),
        referring(URN),
        referring("#a", mixture(id="a")),
        medicine(IBUPROFEN, medicationCodeableConcept={"text": "Ibuprofen 400"}),
    ],
)
def test_an_order_that_nobody_can_read_is_recorded_as_such(desk: Desk, draft: Json) -> None:
    assert card(desk, LOW, sign(draft, medicine(PARACETAMOL, "m2"))) == {}
    assert reason(desk) == "order-not-readable"


@pytest.mark.parametrize("id_", ["../../Patient/1?x=<script>", "m 1", "m" * 65], ids=["path", "space", "long"])
def test_an_id_that_is_none_is_not_put_into_an_action(open_desk: Open, desk: Desk, id_: str) -> None:
    call = sign(medicine(IBUPROFEN, id_))
    response = desk.post(desk.call(LOW, **call), PATH)
    assert response.status_code == 400
    assert outcome(response)["expression"] == ["context.draftOrders.entry[0].resource.id"]
    assert id_ not in response.text
    found = card(open_desk(served(lenient=True)), LOW, call)
    assert found["summary"].startswith("NSAID drafted")
    assert "suggestions" not in found


def test_a_draft_that_is_sent_twice_is_deleted_once(desk: Desk) -> None:
    found = card(desk, LOW, sign(medicine(IBUPROFEN), medicine(GENTAMICIN, "m2"), medicine(IBUPROFEN)))
    deleted = [action["resourceId"] for s in found["suggestions"] for action in s["actions"]]
    assert sorted(deleted) == ["MedicationRequest/m1", "MedicationRequest/m2"]


@pytest.mark.parametrize("contained", [True, False])
def test_a_medication_that_the_draft_refers_to(desk: Desk, contained: bool) -> None:
    drug = {"resourceType": "Medication", "id": "drug", "code": concept(IBUPROFEN)}
    draft = medicine(IBUPROFEN, medicationReference={"reference": "#drug" if contained else "Medication/drug"})
    del draft["medicationCodeableConcept"]
    drafts = (draft | {"contained": [drug]},) if contained else (draft, drug)
    assert card(desk, LOW, sign(*drafts))["summary"].startswith("NSAID drafted")


def test_a_draft_without_an_id_is_warned_of_and_cannot_be_deleted(desk: Desk) -> None:
    draft = medicine(IBUPROFEN)
    del draft["id"]
    found = card(desk, LOW, sign(draft))
    assert found["indicator"] == "warning"
    assert "suggestions" not in found


@pytest.mark.parametrize(
    "subject", [{"reference": "Patient/somebody-else"}, {"identifier": {"value": "1"}}], ids=["another", "identifier"]
)
@pytest.mark.parametrize("hook", ["order-sign", "order-select"])
def test_a_draft_about_another_patient_refuses_the_call(desk: Desk, subject: Json, hook: str) -> None:
    drafts = (medicine(IBUPROFEN), study(CT, subject=subject))
    call = sign(*drafts) if hook == "order-sign" else select(["MedicationRequest/m1"], *drafts)
    response = desk.post(desk.call(LOW, **call), PATH)
    assert response.status_code == 412
    assert outcome(response)["code"] == "conflict"


def test_a_draft_that_names_nobody_yet_is_this_patients(desk: Desk) -> None:
    draft = medicine(IBUPROFEN)
    del draft["subject"]
    assert card(desk, LOW, select(["MedicationRequest/m1"], draft))["indicator"] == "warning"


@pytest.mark.parametrize(
    "entry", ["a text", {"resourceType": "MedicationRequest", "id": "m1", "medicationCodeableConcept": "ibuprofen"}]
)
def test_a_draft_that_cannot_be_read_is_no_silence(desk: Desk, entry: Any) -> None:
    response = desk.post(desk.call(LOW, **sign(entry)), PATH)
    assert response.status_code == 400
    assert "draftOrders.entry[0]" in response.text


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ([person()], "kidney-function-unknown"),
        ([person(), lab(CREATININE, 4.0, "mg/dL", 400)], "kidney-function-unknown"),
        ([person(deceasedBoolean=True), lab(CREATININE, 4.0, "mg/dL")], "deceased"),
    ],
)
def test_silence_where_nothing_is_known(desk: Desk, resources: list[Json], why: str) -> None:
    assert card(desk, resources, sign(medicine(IBUPROFEN))) == {}
    assert reason(desk) == why


def test_a_creatinine_that_cannot_be_read_is_said(desk: Desk) -> None:
    found = card(desk, [person(), lab(CREATININE, 250, None)], sign(medicine(IBUPROFEN)))
    assert found["indicator"] == "info"
    assert found["summary"] == (
        "Kidney function not checked for the NSAID drafted: creatinine of 250 (2 Nov 2026) has no unit."
    )


def test_it_is_off_until_a_site_turns_it_on_and_says_that_its_list_is_incomplete() -> None:
    settings = read_settings(models={"kfre": {"region": "north-america"}})
    assert SERVICE not in load_site(settings=settings).services
    from hooks.nephrotoxic_order import nephrotoxic_order

    assert "not complete" in nephrotoxic_order.description
    assert "UNVERIFIED" in nephrotoxic_order.usage_requirements


def test_every_line_of_the_code_list_has_its_source() -> None:
    entries = [entry for codes in NEPHROTOXIC.values() for entry in codes.entries]
    assert {name: len(codes.entries) for name, codes in NEPHROTOXIC.items()} == {
        "nsaid": 290,
        "aminoglycoside": 20,
        "iodinated_contrast": 19,
    }
    assert [entry.code for entry in entries if not entry.note] == []
    assert {e.code for e in entries if e.system == "cpt"} == {
        e.code for e in entries if e.system == "cpt" and "UNVERIFIED" in e.note
    }
