"""Decides what a request may see and do on the demo's FHIR endpoint."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from cds.web.demo.conduct import CLINICIAN
from cds.web.demo.kept import Memory
from cds.web.demo.records import Refused, Visible, everything
from cds.web.demo.scopes import Permission, in_compartment, permissions
from cds.web.demo.stories import Resource
from fhir_fixtures.search import search


def visible(memory: Memory, authorization: str | None, resource_type: str, letter: str) -> Visible:
    """Which resources the bearer of a token may meet, for one letter of "cruds". Raises Refused with 401 or 403.

    Without a token all is open: the charts are synthetic, the server listens on loopback, and the demo page plays the
    EHR itself. A token that is sent is held to its patient and its scopes, as a hospital's server would.
    """
    if authorization is None:
        return everything
    scheme, _, value = authorization.partition(" ")
    token = memory.access.get(value.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise Refused(401, "login", "the token is unknown, revoked or expired")
    if resource_type == "Practitioner" and letter == "r" and "fhirUser" in token.scope.split():
        return lambda resource: f"Practitioner/{resource.get('id')}" == CLINICIAN
    found = permissions(token.scope, resource_type, letter)
    patient = token.context.patient
    if not found or patient is None:
        raise Refused(403, "forbidden", "the token's scopes do not reach that far")
    return lambda resource: in_compartment(resource, patient) and _within(resource, found)


def _within(resource: Resource, found: Sequence[Permission]) -> bool:
    return any(not one.query or _matches(resource, one.query) for one in found)


def _matches(resource: Resource, query: str) -> bool:
    try:
        return bool(search([resource], resource["resourceType"], parse_qsl(query))["total"])
    except ValueError:  # a search that this server cannot do opens nothing
        return False
