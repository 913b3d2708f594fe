"""What the demo's FHIR server holds: the synthetic charts as of today, and what was created since the start."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import date, datetime
from threading import Lock
from typing import Any

from pydantic import ValidationError

from cds.errors import BedsideError
from cds.web.demo.conduct import CLINICIAN
from cds.web.demo.stories import Resource, resources_on
from fhir_fixtures.search import ACCEPTED, read, search

SEARCHED = ACCEPTED
"""The types that can be searched, each with its parameters."""

TYPES = (*SEARCHED, "CarePlan", "CommunicationRequest", "Flag", "Goal", "Practitioner", "Task")
"""The types that can be read and created."""

CLINICIAN_RECORD: Resource = {
    "resourceType": "Practitioner",
    "id": CLINICIAN.partition("/")[2],
    "active": True,
    "name": [{"family": "Demo", "given": ["Clinician"]}],
}

MOST_CREATED = 500
Visible = Callable[[Resource], bool]


def everything(_resource: Resource) -> bool:
    return True


class Refused(BedsideError):
    """A FHIR interaction that this server does not do, as HTTP status, FHIR issue code and words."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Records:
    """Reads, searches and creates. Safe to use from several threads; a restart forgets what was created."""

    def __init__(self, today: Callable[[], date]) -> None:
        self._today = today
        self._created: OrderedDict[str, Resource] = OrderedDict()
        self._lock = Lock()

    def read(self, resource_type: str, resource_id: str, visible: Visible = everything) -> Resource:
        known(resource_type)
        if (found := read(self._all(), resource_type, resource_id)) is None:
            raise Refused(404, "not-found", f"no such {resource_type}")
        if not visible(found):
            raise Refused(403, "forbidden", "the token is for another patient or for less")
        return found

    def search(
        self, resource_type: str, parameters: Sequence[tuple[str, str]], base: str, visible: Visible = everything
    ) -> Resource:
        """The searchset Bundle of what is visible; an unknown parameter is an error and never ignored."""
        known(resource_type)
        held = [one for one in self._all() if one["resourceType"] == resource_type and visible(one)]
        try:
            return search(held, resource_type, parameters, base)
        except (ValueError, OverflowError) as problem:
            raise Refused(400, "invalid", str(problem)) from None

    def create(
        self, resource_type: str, sent: Any, resource_id: str, at: datetime, visible: Visible = everything
    ) -> Resource:
        """Keeps `sent` under the id given here, after FHIR R4 accepts it; the oldest goes when the store is full."""
        known(resource_type)
        if not isinstance(sent, dict) or sent.get("resourceType") != resource_type:
            raise Refused(400, "invalid", f"the body is no {resource_type}")
        if not visible(sent):
            raise Refused(403, "forbidden", "the token is for another patient or for less")
        meta = {"versionId": "1", "lastUpdated": at.isoformat(timespec="milliseconds")}
        resource = {**sent, "id": resource_id, "meta": {**_object(sent.get("meta")), **meta}}
        _validate(resource_type, resource)
        with self._lock:
            self._created[resource_id] = resource
            if len(self._created) > MOST_CREATED:
                self._created.popitem(last=False)
        return resource

    def _all(self) -> list[Resource]:
        with self._lock:
            created = list(self._created.values())
        return [CLINICIAN_RECORD, *resources_on(self._today()), *created]


def known(resource_type: str) -> None:
    if resource_type not in TYPES:
        raise Refused(404, "not-supported", "this server does not keep that type of resource")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _validate(resource_type: str, resource: Resource) -> None:
    from fhir.resources.R4B import get_fhir_model_class  # slow to import, needed only once something is saved

    try:
        get_fhir_model_class(resource_type).model_validate(resource)
    except ValidationError as invalid:
        # Where, and never what: the values are a patient's.
        places = sorted({".".join(str(step) for step in error["loc"]) for error in invalid.errors(include_input=False)})
        raise Refused(400, "invalid", f"no valid {resource_type} (R4): {', '.join(places)}") from None
