"""The kidney failure risk service as users of HealthChain write it, run in an environment of its own."""

import gc
import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

# mypy: disable-error-code="import-not-found, misc, no-any-unimported"
# HealthChain lives in another environment, where no type checker runs.
from healthchain.fhir import convert_prefetch_to_fhir_objects
from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import CDSRequest, CDSResponse

CREATININE, UACR = "2160-0", "9318-7"
COUNTED = {"final", "amended", "corrected"}
Result = tuple[datetime, float]


def from_dicts(request: CDSRequest) -> CDSResponse:
    """Read the prefetch as the dicts that HealthChain hands to a service."""
    prefetch = request.prefetch or {}
    patient = prefetch["patient"]
    creatinine = latest(results_in_dicts(prefetch["creatinine"], CREATININE, "mg/dL"))
    uacr = latest(results_in_dicts(prefetch["uacr"], UACR, "mg/g"))
    return card(date.fromisoformat(patient["birthDate"]), patient["gender"], creatinine, uacr)


def results_in_dicts(bundle: dict[str, Any], code: str, unit: str) -> Iterable[Result]:
    """Time and value of each result that counts."""
    for entry in bundle.get("entry", ()):
        one = entry["resource"]
        if one["status"] not in COUNTED or all(coding["code"] != code for coding in one["code"]["coding"]):
            continue
        if one["valueQuantity"]["code"] == unit:
            yield datetime.fromisoformat(one["effectiveDateTime"]), one["valueQuantity"]["value"]


def from_objects(request: CDSRequest) -> CDSResponse:
    """Turn the prefetch into FHIR objects with HealthChain's own conversion, then read those."""
    prefetch = convert_prefetch_to_fhir_objects(request.prefetch or {})
    patient = prefetch["patient"]
    creatinine = latest(results_in_objects(prefetch["creatinine"], CREATININE, "mg/dL"))
    uacr = latest(results_in_objects(prefetch["uacr"], UACR, "mg/g"))
    return card(patient.birthDate, patient.gender, creatinine, uacr)


def results_in_objects(bundle: Any, code: str, unit: str) -> Iterable[Result]:
    """Time and value of each result that counts."""
    for entry in bundle.entry or ():
        one = entry.resource
        if one.status not in COUNTED or all(coding.code != code for coding in one.code.coding):
            continue
        if one.valueQuantity.code == unit:
            yield one.effectiveDateTime, float(one.valueQuantity.value)


def latest(results: Iterable[Result]) -> Result:
    """The newest of the results."""
    return max(results, key=lambda result: result[0])


def card(born: date, gender: str, creatinine: Result, uacr: Result) -> CDSResponse:
    """One card with the five-year risk."""
    male = gender == "male"
    egfr = ckd_epi_2021(creatinine[1], years(born, creatinine[0].date()), male)
    percent = 100 * kfre_five_years(years(born, datetime.now(UTC).date()), egfr, uacr[1], male)
    summary = f"Kidney failure risk {percent:.1f}% in 5 years, above the 5% referral threshold."
    source = {"label": "Kidney Failure Risk Equation"}
    return CDSResponse(cards=[{"summary": summary, "indicator": "info", "source": source}])


def years(born: date, on: date) -> int:
    """Completed years."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def ckd_epi_2021(creatinine: float, age: int, male: bool) -> float:
    """Inker et al., N Engl J Med 2021;385:1737, creatinine only; mL/min/1.73 m2."""
    kappa, alpha, factor = (0.9, -0.302, 1.0) if male else (0.7, -0.241, 1.012)
    ratio = creatinine / kappa
    return 142 * math.pow(min(ratio, 1), alpha) * math.pow(max(ratio, 1), -1.2) * math.pow(0.9938, age) * factor


def kfre_five_years(age: int, egfr: float, uacr: float, male: bool) -> float:
    """Tangri et al., JAMA 2016;315:164, four variables, North America."""
    score = -0.2201 * (age / 10 - 7.036) + 0.2467 * (male - 0.5642)
    score += -0.5567 * (egfr / 5 - 7.222) + 0.4510 * (math.log(uacr) - 5.137)
    return 1 - math.pow(0.924, math.exp(score))


def application(service: Any) -> HealthChainAPI:
    """HealthChain's server with this one service, everything else as it comes."""
    hooks = CDSHooksService()
    hooks.hook("patient-view", id="kidney-failure-risk", title="Kidney failure risk")(service)
    api = HealthChainAPI()
    api.register_service(hooks, path="/cds")
    return api


def dicts() -> HealthChainAPI:
    """The service on dicts, for `uvicorn --factory`."""
    return application(from_dicts)


def frozen() -> HealthChainAPI:
    """The service on dicts with its start-up objects kept out of garbage collection, which HealthChain does not do."""
    api = dicts()
    gc.collect()
    gc.freeze()
    return api


def fhir() -> HealthChainAPI:
    """The service on FHIR objects, for `uvicorn --factory`."""
    return application(from_objects)
