"""Which records a site does not answer: merged or inactive ones, test patients, and what is marked as restricted."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct, ValidationError, json

from cds.errors import NotForUse
from cds.fhir.identity import named
from cds.fhir.resources import Coding, Resource

Choice = Literal["refuse", "answer"]

_CONFIDENTIALITY = frozenset({
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "http://hl7.org/fhir/v3/Confidentiality",
    "urn:oid:2.16.840.1.113883.5.25",
    None,  # a label whose system was forgotten was still meant to protect
})  # fmt: skip
_RESTRICTED = frozenset({"R", "V"})
_TEST = "HTEST"


class _Meta(Struct):
    security: tuple[Coding, ...] | None = None


_meta = json.Decoder(_Meta)


class Policy(Struct, frozen=True):
    """What a client's registration says of three kinds of record.

    `merged` is also a Patient with `active` false: a record that is not in active use was left for another, was made
    in error, or belongs to nobody who is being seen. Of the dead, inactive is what a record becomes.
    """

    merged: Choice = "refuse"
    test_patients: Choice = "answer"
    restricted: Choice = "refuse"

    def check_patient(self, patient: Resource) -> None:
        """Raises NotForUse for a Patient that was merged, is inactive, or is a test's where those are refused."""
        if self.merged == "refuse":
            if any(link.type == "replaced-by" for link in patient.link or ()) or "link" in patient.faults:
                raise _refused("this record was merged into another; open the surviving record", "Patient.link")
            if (patient.active is False and not _died(patient)) or "active" in patient.faults:
                raise _refused("this patient's record is not in active use; open the one that is", "Patient.active")
        if self.test_patients == "refuse" and any(label.code == _TEST for label in labels(patient)):
            raise _refused("this is a test patient, and this site does not answer for those", "Patient.meta.security")

    def check(self, resources: Sequence[Resource]) -> None:
        """Raises NotForUse, naming the type only, when anything is marked as restricted where that is refused."""
        if self.restricted != "refuse" or not _may_be_labelled(resources):
            return
        for resource in resources:
            if any(label.code in _RESTRICTED and label.system in _CONFIDENTIALITY for label in labels(resource)):
                what = named(resource.resource_type or "")
                raise _refused(
                    f"{what} of this record is marked as restricted, and this site does not use those", "meta.security"
                )


def _died(patient: Resource) -> bool:
    """Whose record is closed because she died: she is told apart by her death, of which every model knows."""
    return patient.deceased_boolean is True or patient.deceased_date_time is not None


def labels(resource: Resource) -> tuple[Coding, ...]:
    """A resource's security labels. Raises NotForUse when there are some that cannot be read."""
    if not _may_be_labelled((resource,)):
        return ()
    try:
        return _meta.decode(resource.meta).security or ()
    except ValidationError:
        raise _refused("a security label cannot be read", "meta.security") from None


def _may_be_labelled(resources: Iterable[Resource]) -> bool:
    """Nearly no chart has a label: one look at all its metas, as they came, saves decoding each."""
    metas = b"".join([resource.meta for resource in resources])
    return b"security" in metas or b"\\" in metas  # a name in JSON may be escaped


def _refused(message: str, expression: str) -> NotForUse:
    return NotForUse(message, expressions=(expression,))
