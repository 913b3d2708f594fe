"""The RiskAssessments of earlier runs: whether an answer is new, and which of them a deleted result takes back."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, json

from cds.fhir.resources import Resource
from cds.risk.assessment import assessment_id, identifier_of, risk_assessment
from cds.risk.estimate import Risk
from cds.risk.model import RiskModel


class Written(Struct, frozen=True, array_like=True):
    """One RiskAssessment as it was written, with its model and the identifier that is the same for the same answer."""

    model: str
    id: str
    identifier: str
    assessment: dict[str, Any]

    @property
    def basis(self) -> set[str]:
        """The resources it rests on, and the patient it is about."""
        found = {str(one["reference"]) for one in self.assessment.get("basis", ())}
        return found | {str(self.assessment["subject"]["reference"])}

    def retracted(self) -> bytes:
        """The same, entered in error: what it said of its risk stays readable, and no one may use it."""
        return json.encode({**self.assessment, "status": "entered-in-error"})


_decoder = json.Decoder(Written)
encoded = json.Encoder().encode
decoded = _decoder.decode


def assessed(risk: Risk, model: RiskModel, patient: str) -> Written:
    """A new answer as a RiskAssessment with the id under which it will be written."""
    own, identifier = assessment_id(risk, model, patient), identifier_of(risk, model, patient)
    assessment = risk_assessment(risk, model, patient_id=patient, identifier=identifier)
    return Written(
        risk.model, own, identifier, {"resourceType": assessment.pop("resourceType"), "id": own, **assessment}
    )


def newest(before: Iterable[Written], model: str) -> Written | None:
    """The last one of a model: runs add theirs at the end."""
    return next((one for one in reversed(list(before)) if one.model == model), None)


def taken_back(resources: Iterable[Resource], deleted: frozenset[str]) -> Iterator[str]:
    """References of what does not hold any more: what the server deleted, and what is marked as entered in error."""
    yield from deleted
    for resource in resources:
        if resource.status == "entered-in-error" and resource.id:
            yield f"{resource.resource_type}/{resource.id}"
