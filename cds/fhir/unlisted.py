"""Names what is coded so that no list here can tell what it is: it is counted and said, not taken for absent."""

from cds.fhir.codes import system_named
from cds.fhir.resources import CodeableConcept, codings

UNLISTED_CONDITION = "condition_unlisted"
"""The set of diagnoses that no code set holds, and that have no ICD code, which would say that they are others."""
UNLISTED_MEDICATION = "medication_unlisted"
"""The set of active medications that no code set holds: another drug, or a name of one that is not listed."""
_COMPLETE = frozenset({"icd10cm", "icd10who", "icd9cm"})
"""Code systems of which the sets hold whole chapters, so that a code outside them is another disease."""


def tells_nothing(concept: CodeableConcept | None) -> bool:
    """Whether no coding is of a system in which the sets of diagnoses are complete."""
    return concept is None or not any(system_named(c.system) in _COMPLETE for c in codings(concept))
