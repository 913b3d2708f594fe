"""Who the patient is, read from the Patient resource as the EHR sent it: for a person to check before she reads on."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cds.errors import DataUnavailable, WrongPatient
from cds.fhir.times import When, age_on, when
from cds.text import day_text
from cds.web.smart.views import Banner

LONGEST = 120
"""Characters of a name or an identifier; what is longer is cut where everybody sees it."""

Json = dict[str, Any]


def banner_of(patient: Json, patient_id: str, at: datetime) -> Banner:
    """The banner. Raises WrongPatient when the resource is not the session's patient."""
    if patient.get("resourceType") != "Patient":
        raise DataUnavailable("the Patient could not be read", keys=("patient",))
    if patient.get("id") != patient_id:
        raise WrongPatient("the Patient that was read is not the patient of the launch")
    birth = _text(patient.get("birthDate"))
    return Banner(
        name=_name(patient) or "(no name recorded)",
        born=_date(birth) or "(birth date not recorded)",
        age=_age(birth, patient, at),
        sex=_text(patient.get("gender")) or "not recorded",
        identifiers=tuple(_identifiers(patient)) or (("Patient id", patient_id),),
        died=_died(patient),
        test=_is_test(patient),
    )


def _name(patient: Json) -> str:
    names = [name for name in _list(patient.get("name")) if name.get("use") != "old"]
    names.sort(key=lambda name: ("official", "usual").index(name["use"]) if name.get("use") in _PREFERRED else 2)
    return next(filter(None, map(_one_name, names)), "")


_PREFERRED = ("official", "usual")


def _one_name(name: Json) -> str:
    given = name.get("given")
    parts = [_text(part) for part in given] if isinstance(given, list) else []
    whole = " ".join(filter(None, [*parts, _text(name.get("family"))]))
    return _cut(whole or _text(name.get("text")))


def _identifiers(patient: Json) -> Iterator[tuple[str, str]]:
    """Medical record numbers; where none is marked as one, the first identifier in use."""
    every = [one for one in _list(patient.get("identifier")) if _text(one.get("value")) and one.get("use") != "old"]
    marked = [one for one in every if any(c.get("code") == "MR" for c in _codings(one.get("type")))]
    for one in marked:
        yield "MRN", _cut(_text(one["value"]))
    if not marked and every:
        kind = every[0].get("type")
        label = _text(kind.get("text")) if isinstance(kind, dict) else ""
        yield _cut(label) or "Identifier", _cut(_text(every[0]["value"]))


def _age(birth: str, patient: Json, at: datetime) -> str:
    """Completed years, at death where there was one."""
    died = when(_text(patient.get("deceasedDateTime")))
    if _is_dead(patient) and died is None:
        return ""
    born, day = when(birth), died or When(at, at)
    years = age_on(born, day) if born else None
    return f"{years} years" if years is not None else ""


def _died(patient: Json) -> str:
    if not _is_dead(patient):
        return ""
    return _date(_text(patient.get("deceasedDateTime"))) or "date not recorded"


def _is_dead(patient: Json) -> bool:
    return bool(patient.get("deceasedDateTime") or patient.get("deceasedBoolean"))


def _date(text: str) -> str:
    moment = when(text)
    return (moment.written or day_text(moment.first)) if moment else ""


def _is_test(patient: Json) -> bool:
    meta = patient.get("meta")
    found = [*_list(meta.get("tag")), *_list(meta.get("security"))] if isinstance(meta, dict) else []
    return any(label.get("code") == "HTEST" for label in found)


def _codings(concept: Any) -> list[Json]:
    return _list(concept.get("coding")) if isinstance(concept, dict) else []


def _list(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
