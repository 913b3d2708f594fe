"""Reads from a server's CapabilityStatement by which road results can be written twice and stand once (D34)."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from cds.errors import DataUnavailable, UnsafeToWrite
from cds.trust.clients import FHIR_VERSIONS

Road = Literal["put", "conditional"]
"""By the id that we give, or by a create that the server carries out only when our identifier is not there yet."""

_WANTED = "RiskAssessment update with updateCreate, or conditionalCreate with a search by identifier"


class Abilities(Struct, frozen=True):
    """What the server says that it can do, as far as writing results needs it."""

    road: Road
    bundles: bool
    """Takes Bundles of many entries."""
    updates: bool
    """Takes a RiskAssessment under an id that it knows."""
    versions: bool
    """Keeps versions and heeds If-Match."""
    reads: bool
    """Answers a RiskAssessment by its id alone."""
    found_by_id: frozenset[str]
    """The types that it searches by `_id`; the others are read one by one."""
    provenance: Road | None
    """How a Provenance can be written once and no more; None: not at all."""


class _Code(Struct):
    code: str = ""


class _Name(Struct):
    name: str = ""


class _Kind(Struct, rename="camel"):
    type: str = ""
    interaction: list[_Code] = []
    search_param: list[_Name] = []
    update_create: bool = False
    conditional_create: bool = False
    versioning: str = ""

    def does(self, code: str) -> bool:
        return any(one.code == code for one in self.interaction)

    def searches(self, *names: str) -> bool:
        return self.does("search-type") and set(names) <= {one.name for one in self.search_param}

    @property
    def takes_ids(self) -> bool:
        return self.does("update") and self.update_create and (self.does("read") or self.searches("_id"))


class _Rest(Struct, rename="camel"):
    mode: str = ""
    resource: list[_Kind] = []
    interaction: list[_Code] = []
    search_param: list[_Name] = []


class _Statement(Struct, rename="camel"):
    resource_type: str = ""
    fhir_version: str = ""
    rest: list[_Rest] = []


def read_abilities(document: dict[str, Any]) -> Abilities:
    """What a CapabilityStatement allows. Raises DataUnavailable when it is none, UnsafeToWrite naming what it lacks."""
    try:
        statement = msgspec.convert(document, _Statement)
    except msgspec.ValidationError:
        raise DataUnavailable("the server's metadata cannot be read: it is no CapabilityStatement") from None
    if statement.resource_type != "CapabilityStatement":
        raise DataUnavailable("the server's metadata is no CapabilityStatement: give the FHIR base itself")
    if not statement.fhir_version.startswith(tuple(f"{known}." for known in FHIR_VERSIONS)):
        raise UnsafeToWrite("this server's FHIR version is not R4: a RiskAssessment would say something else there")
    kinds = {kind.type: kind for kind in _kinds(statement)}
    risk, system = kinds.get("RiskAssessment"), _system(statement)
    if risk is None:
        raise UnsafeToWrite(
            f"this server does not say that it stores RiskAssessment; its metadata must state {_WANTED}"
        )
    return Abilities(
        road=_road(risk),
        bundles=bool(system & {"batch", "transaction"}),
        updates=risk.does("update"),
        versions=risk.versioning in ("versioned", "versioned-update"),
        reads=risk.does("read"),
        found_by_id=frozenset(name for name, kind in kinds.items() if kind.searches("_id")),
        provenance=_provenance_road(kinds.get("Provenance")),
    )


def _kinds(statement: _Statement) -> Iterator[_Kind]:
    for rest in statement.rest:
        if rest.mode == "server":
            for kind in rest.resource:
                kind.search_param = [*kind.search_param, *rest.search_param]
                yield kind


def _system(statement: _Statement) -> set[str]:
    return {one.code for rest in statement.rest if rest.mode == "server" for one in rest.interaction}


def _road(risk: _Kind) -> Road:
    if risk.takes_ids:
        return "put"
    # Stated, not supposed: a server that passes over a parameter it does not know would find everybody's results.
    if risk.does("create") and risk.conditional_create and risk.searches("identifier"):
        return "conditional"
    raise UnsafeToWrite(f"this server takes RiskAssessment in no way that can be repeated: it lacks {_WANTED}")


def _provenance_road(kind: _Kind | None) -> Road | None:
    if kind is None:
        return None
    if kind.takes_ids:
        return "put"
    able = kind.does("create") and kind.conditional_create and kind.searches("target", "recorded")
    return "conditional" if able else None
