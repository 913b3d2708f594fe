"""Who the patient is to a model: birth, sex, race and death as the chart states them, nothing assumed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from msgspec import Struct

from cds.fhir.resources import Coding, Extension, Resource, first_code
from cds.fhir.times import When, when

Sex = Literal["female", "male"]

_SEX_PARAMETER = "/patient-sexParameterForClinicalUse"  # the extension's URL ends so, whoever publishes it
_BY_PARAMETER: dict[str | None, Sex] = {
    "female-typical": "female",
    "female": "female",
    "male-typical": "male",
    "male": "male",
}
_RACE = "/us-core-race"
_BY_GENDER: dict[str | None, Sex] = {"female": "female", "male": "male"}


class SexParameter(Struct, frozen=True):
    """One sex-parameter-for-clinical-use: its code and the time for which it is meant."""

    code: str | None
    start: When | None = None
    end: When | None = None

    def meant_at(self, at: datetime) -> bool:
        return not (self.start and self.start.first > at) and not (self.end and self.end.last < at)


class Person(Struct, frozen=True):
    """A patient's birth, sex, race and death. `gender` is the administrative gender as sent."""

    source: str
    birth: When | None = None
    gender: str | None = None
    sex_parameters: tuple[SexParameter, ...] = ()
    deceased: bool = False
    died: When | None = None
    races: tuple[Coding, ...] | None = None
    """The categories of the US Core race extension as sent; None without the extension, or any that can be read."""

    def sex(self, at: datetime) -> Sex | None:
        """Male or female from the sex parameter for clinical use, which wins, else from gender; else None."""
        meant = {_BY_PARAMETER.get(p.code) for p in self.sex_parameters if p.meant_at(at)}
        if meant:
            return meant.pop() if len(meant) == 1 else None
        return _BY_GENDER.get(self.gender)


def person_of(patient: Resource) -> Person:
    """Read a Patient resource. What could not be read of it is not taken for absent."""
    unread = {fault for fault in patient.faults if fault.startswith("deceased") or fault == "extension"}
    died = when(patient.deceased_date_time) if patient.deceased_date_time else None
    return Person(
        source=f"Patient/{patient.id}",
        birth=when(patient.birth_date) if patient.birth_date else None,
        gender=patient.gender,
        sex_parameters=(SexParameter(None),) if "extension" in unread else tuple(_sex_parameters(patient)),
        deceased=bool(patient.deceased_boolean or patient.deceased_date_time or unread - {"extension"}),
        died=died,
        races=_races(patient),
    )


def _races(patient: Resource) -> tuple[Coding, ...] | None:
    found = [e for e in patient.extension or () if (e.url or "").endswith(_RACE)]
    parts = [part for race in found for part in race.extension or () if part.url == "ombCategory"]
    return tuple(part.value_coding or Coding() for part in parts) if found else None


def _sex_parameters(patient: Resource) -> Iterator[SexParameter]:
    return (_sex_parameter(e) for e in patient.extension or () if (e.url or "").endswith(_SEX_PARAMETER))


def _sex_parameter(extension: Extension) -> SexParameter:
    inner = {e.url: e for e in extension.extension or ()}
    value, period = inner.get("value"), inner.get("period")
    span = period.value_period if period else None
    return SexParameter(
        code=first_code(value.value_codeable_concept) if value else None,
        start=when(span.start) if span and span.start else None,
        end=when(span.end) if span and span.end else None,
    )
