"""Charts for the kidney tests: FHIR resources in one line each, and what the deployed model answers about them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cds import NotScored, Outcome, Risk
from cds.fhir.chart import Chart
from cds.fhir.codes import URIS
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from cds.risk.model import RiskModel
from cds.risk.scoring import score
from cds.settings import read_settings
from cds.site import Site, load_site

Json = dict[str, Any]
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACTIVE, RESOLVED = "active", "resolved"


@cache
def site(*, local: tuple[tuple[str, str], ...] = (), **kfre: Any) -> Site:
    """A site with settings of [models.kfre], and codes of its own."""
    tables = {"kfre": {"region": "north-america", **kfre}}
    return load_site(settings=read_settings(models=tables, codes=dict(local)))


def model(variant: str = "kfre-4", **kfre: Any) -> RiskModel:
    return site(**kfre).models[variant]


def ago(days: float, hours: float = 0, seconds: float = 0) -> str:
    """The instant so long before AT, as FHIR writes it; negative days lie ahead."""
    return (AT - timedelta(days=days, hours=hours, seconds=seconds)).isoformat()


def day(days: float) -> str:
    """The date so many days before AT."""
    return (AT - timedelta(days=days)).date().isoformat()


def concept(code: str) -> Json:
    """A CodeableConcept of `system|code`s separated by blanks; a system is a short name or a URI, else LOINC."""
    pairs = [one.split("|") if "|" in one else ("loinc", one) for one in code.split(" ")]
    return {"coding": [{"system": URIS.get(system, (system,))[0], "code": code} for system, code in pairs]}


def patient(**members: Any) -> Json:
    return {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1960-03-01", **members}


def resource(kind: str, code: str, members: Json) -> Json:
    own = {"resourceType": kind, "subject": {"reference": "Patient/p"}, "code": concept(code)}
    return {**own, **{name: value for name, value in members.items() if value is not None}}


def lab(code: str, value: float | str | None, unit: str | None, when: str | None, **members: Any) -> Json:
    """An Observation, final unless `status` says otherwise; "<30" and ">300" are quantities with a comparator."""
    held: Json = {"status": "final", "effectiveDateTime": when}
    if value is not None:
        text = str(value)
        comparator = text.rstrip("0123456789.") if isinstance(value, str) else ""
        quantity = {"value": float(text.removeprefix(comparator)), "unit": unit, "comparator": comparator or None}
        held["valueQuantity"] = {name: member for name, member in quantity.items() if member is not None}
    return resource("Observation", code, {**held, **members})


def creatinine(value: float | str | None, when: str, unit: str = "mg/dL", **members: Any) -> Json:
    return lab("2160-0", value, unit, when, **members)


def egfr(value: float | str, when: str, code: str = "98979-8", **members: Any) -> Json:
    return lab(code, value, "mL/min/{1.73_m2}", when, **members)


def acr(value: float | str | None, when: str, unit: str | None = "mg/g", **members: Any) -> Json:
    return lab("9318-7", value, unit, when, **members)


def said(text: str, when: str, code: str = "9318-7") -> Json:
    """A result that the laboratory sent as a string."""
    return lab(code, None, None, when, valueString=text)


def condition(code: str, onset: str | None = None, clinical: str | None = None, **members: Any) -> Json:
    status = {"clinicalStatus": {"coding": [{"code": clinical}]}} if clinical else {}
    if "verification" in members:
        status["verificationStatus"] = {"coding": [{"code": members.pop("verification")}]}
    if "category" in members:
        members["category"] = [{"coding": [{"code": members["category"]}]}]
    return resource("Condition", code, {"onsetDateTime": onset, **status, **members})


def procedure(code: str, performed: str | None = None, status: str = "completed", **members: Any) -> Json:
    return resource("Procedure", code, {"performedDateTime": performed, "status": status, **members})


def encounter(id_: str, class_: str, start: str | None = None, **members: Any) -> Json:
    stay = {"resourceType": "Encounter", "id": id_, "status": "finished", "class": {"code": class_}}
    return {**stay, "subject": {"reference": "Patient/p"}, "period": {"start": start or ago(30)}, **members}


def during(id_: str) -> Json:
    """The member that says in which encounter a resource arose."""
    return {"encounter": {"reference": f"Encounter/{id_}"}}


SCORED = (creatinine(2.0, ago(30), id="cr"), acr(100, ago(30), id="acr"))
"""What it takes for a 66-year-old man: 5-year risk 7.3 %, so that any gate that closes is seen to close."""


def chart(*resources: Json, who: Json | None = None, unread: Iterable[str] = (), **kfre: Any) -> Chart:
    """Resources that have no id get one each, since two of one id are one resource."""
    named = [{"id": f"r{i}", **one} for i, one in enumerate(resources)]
    located = [(read_leniently(one), None) for one in (who or patient(), *named)]
    return Chart.of(located, Identity("p"), site(**kfre).vocabulary, unread)


def outcome(
    *resources: Json, at: datetime = AT, variant: str = "kfre-4", who: Json | None = None, **kfre: Any
) -> Outcome:
    [answer] = score(model(variant, **kfre), [chart(*resources, who=who, **kfre)], at)
    return answer


def reason(*resources: Json, **how: Any) -> str:
    """The reason for which there is no score, or "scored"."""
    answer = outcome(*resources, **how)
    return answer.reason if isinstance(answer, NotScored) else "scored"


def risk(*resources: Json, **how: Any) -> Risk:
    answer = outcome(*resources, **how)
    assert isinstance(answer, Risk), answer.text
    return answer
