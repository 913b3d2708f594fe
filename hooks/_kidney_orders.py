"""What a kidney card offers to create: the assessment, a draft referral, a draft laboratory order."""

from typing import Any

from cds import Action, HookCall, Risk, Suggestion, risk_assessment

ACR_ORDER = ("9318-7", "a urine albumin-creatinine ratio")
CREATININE_ORDER = ("2160-0", "a serum creatinine")


def save(call: HookCall, risk: Risk) -> Action:
    """The RiskAssessment of this risk."""
    assessment = risk_assessment(
        risk,
        call.models[risk.model],
        patient_id=call.patient_id,
        encounter_id=call.encounter_id,
    )
    return Action("create", "Save the kidney failure risk as a RiskAssessment", assessment)


def referral(call: HookCall, summary: str) -> Suggestion:
    """A draft referral to nephrology, with the card's sentence as its reason."""
    resource = _request(call, {"text": "Referral to nephrology"}, "referral") | {"reasonCode": [{"text": summary}]}
    return Suggestion(
        "Draft a nephrology referral", (Action("create", "Create a draft referral to nephrology", resource),)
    )


def order(call: HookCall, label: str, test: tuple[str, str]) -> Suggestion:
    """A draft order for a test, given as its LOINC code and its name."""
    name = test[1].split(" ", 1)[1].capitalize()
    code = {"coding": [{"system": "http://loinc.org", "code": test[0]}], "text": name}
    resource = _request(call, code, f"order-{test[0]}")
    return Suggestion(label, (Action("create", f"Create a draft order for {test[1]}", resource),))


def _request(call: HookCall, code: dict[str, Any], name: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": "urn:bedside:service-request", "value": call.id_of(name)}],
        "status": "draft",
        "intent": "proposal",
        "code": code,
        "subject": {"reference": f"Patient/{call.patient_id}"},
    }
    if call.encounter_id:
        request["encounter"] = {"reference": f"Encounter/{call.encounter_id}"}
    user = call.call.context.user_id or ""
    if user.startswith(("Practitioner/", "PractitionerRole/")):
        request["requester"] = {"reference": user}
    return request
