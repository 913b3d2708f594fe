"""The Kidney Failure Risk Equation with four, six and eight variables, as risk models."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field

from cds import (
    Chart,
    Course,
    Estimate,
    Explanation,
    Input,
    Knob,
    Missing,
    ModelSettings,
    Predictors,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Slot,
    Threshold,
    cut,
)
from models._kidney.albuminuria import Albuminuria
from models._kidney.equation import round_half_up
from models._kidney.told import measured
from models.kfre import explain
from models.kfre.equation import Region, Variables, kidney_failure_risk
from models.kfre.inputs import EightVariables, FourVariables, SixVariables
from models.kfre.refusals import first_refusal

OUTCOME = "Kidney failure treated by dialysis or transplant"
HORIZONS = (2, 5)
_REGIONS: Mapping[Region, str] = {"north-america": "North America", "elsewhere": "outside North America"}


class KfreSettings(ModelSettings):
    """`[models.kfre]` of site.toml. `region` has no default: baselines differ, and a guess would be a wrong number."""

    region: Region
    referral_percent: float = Field(default=5.0, ge=3.0, le=5.0)
    acr_detection_limit: float | None = Field(default=None, gt=0, le=30)


class Kfre(RiskModel):
    """What the three variants share."""

    variables: ClassVar[Variables]
    extra_inputs: ClassVar[tuple[str, ...]] = ()
    """What the variant asks beyond age, sex, eGFR and albumin; a diagnosis that was not recorded counts as absent."""
    settings_type = KfreSettings
    settings: KfreSettings

    def __init__(self, card: Any, settings: KfreSettings) -> None:
        super().__init__(card, settings)
        if settings.acr_detection_limit is not None:
            limited = Albuminuria(settings.acr_detection_limit)
            self.predictors = type(self.predictors.__name__, (self.predictors,), {"acr": limited})

    def refuse(self, row: FourVariables) -> Refusal | None:
        refusal = first_refusal(row)
        if refusal is not None or isinstance(row.acr, Missing):
            return refusal
        missing = [name for name in self.extra_inputs if isinstance(getattr(row, name), Missing)]
        if missing and self.variables == 8:
            return Refusal("variant-inputs", f"the 8-variable equation needs {', '.join(missing)}")
        if row.acr.bound == "at least" and not self._raises(self.predict(row)):
            above = f"urine albumin-creatinine ratio above the assay's range ({cut(row.acr.as_sent)})"
            return Refusal("acr-above-range", above)
        return None

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        age, sex, egfr, acr = row.age, row.sex, row.egfr, row.acr
        if (
            isinstance(age, Missing)
            or isinstance(sex, Missing)
            or isinstance(egfr, Missing)
            or isinstance(acr, Missing)
        ):
            raise TypeError("a row with a missing input was not refused")
        male = sex.value == "male"
        others = {name: explain.as_number(getattr(row, name)) for name in self.extra_inputs}
        which, region = self.variables, self.settings.region
        risks = (
            kidney_failure_risk(which, region, years, age.value, male, egfr.value, acr.value, **others)
            for years in HORIZONS
        )
        return tuple(Estimate(OUTCOME, years, risk, acr.bound) for years, risk in zip(HORIZONS, risks, strict=True))

    def cautions(self, row: FourVariables) -> Sequence[str]:
        return tuple(_cautions(row))

    @cached_property
    def thresholds(self) -> Sequence[Threshold]:
        """The card's, with the 5-year percentage from which this site refers."""
        own = {"percent": self.settings.referral_percent}
        return tuple(t.model_copy(update=own) if t.horizon_years == 5 else t for t in self.card.thresholds)

    def standing(self, row: FourVariables) -> str:
        if isinstance(row.egfr, Missing) or isinstance(row.acr, Missing):
            return ""
        return f"KDIGO {explain.stages(row.egfr.value, row.acr)}"

    @property
    def title(self) -> str:
        """The equation with its number of variables and its region, which decide the number."""
        return f"{self.card.short_name} ({self.variables}-variable, {_REGIONS[self.settings.region]})"

    def exclusions(self, row: FourVariables) -> Sequence[str]:
        return tuple(explain.exclusions(row))

    def inputs(self, row: FourVariables) -> Sequence[Input]:
        return tuple(explain.inputs(row, self.extra_inputs))

    def explanation(self, row: FourVariables) -> Explanation:
        return explain.explanation(self.variables, self.settings.region, row, self.extra_inputs)

    def measured(self, chart: Chart, at: datetime) -> Course | None:
        return measured(chart, at)

    def knobs(self, row: FourVariables) -> Sequence[Knob]:
        return tuple(explain.knobs(row, self.extra_inputs))

    def with_changes(self, row: FourVariables, **values: float) -> Predictors:
        return explain.with_changes(row, self.extra_inputs, values)

    def _raises(self, estimates: Sequence[Estimate]) -> bool:
        two, five = (estimate.probability for estimate in estimates)
        return five > self.settings.referral_percent / 100 or two > 0.10

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        """A line of reference.csv; lines of the other variants are None."""
        if int(values["variables"]) != cls.variables:
            return None
        given: dict[str, Any] = {
            "age": Reading(float(values["age"]), "a"),
            "sex": Reading("male" if values["sex"] == "M" else "female"),
            "egfr": Reading(float(values["egfr"]), "mL/min/{1.73_m2}", _NOON),
            "acr": Reading(float(values["acr"]), "mg/g", _NOON),
            "earlier_below_60": Reading(50.0, "mL/min/{1.73_m2}", _NOON - timedelta(days=100)),
        }
        for name in cls.extra_inputs:
            if cls.variables == 8:
                given[name] = Reading(float(values[name]))
            elif values[name] == "1":
                given[name] = Reading(True)
        row: Predictors = cls.predictors.given(_NOON, **given)
        expected: Mapping[float | Slot, float] = {2.0: float(values["risk_2y"]), 5.0: float(values["risk_5y"])}
        return Reference(row, {"region": values["region"]}, expected)


EIGHT = ("albumin", "phosphate", "bicarbonate", "calcium")
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Kfre4(Kfre):
    id = "kfre-4"
    variables = 4
    predictors = FourVariables


class Kfre6(Kfre):
    id = "kfre-6"
    variables = 6
    predictors = SixVariables
    extra_inputs = ("diabetes", "hypertension")
    card_of_variant: ClassVar[Mapping[str, Any]] = {
        "name": "Kidney Failure Risk Equation (6-variable)",
        "inputs": dict.fromkeys(extra_inputs, "an active diagnosis, or none recorded"),
    }


class Kfre8(Kfre):
    id = "kfre-8"
    variables = 8
    predictors = EightVariables
    extra_inputs = EIGHT
    card_of_variant: ClassVar[Mapping[str, Any]] = {
        "name": "Kidney Failure Risk Equation (8-variable)",
        "inputs": {
            "albumin": "serum albumin in g/dL of 12 months",
            "phosphate": "serum phosphate in mg/dL of 12 months",
            "bicarbonate": "bicarbonate or total carbon dioxide in mmol/L of 12 months",
            "calcium": "total serum calcium in mg/dL of 12 months, uncorrected",
        },
    }


def chronic(row: FourVariables) -> bool:
    """Two eGFR below 60 at least 90 days apart, or a stage 3 to 5 diagnosis as old."""
    return isinstance(row.earlier_below_60, Reading) or isinstance(row.ckd_diagnosis_old, Reading)


def earlier_risk(model: Kfre, row: FourVariables) -> float | None:
    """The 5-year risk as of the earlier inputs, by the same equation and region; None when there are none.

    Only the 4-variable equation is traced back: its inputs alone are known for both days.
    """
    if isinstance(row.earlier, Missing) or isinstance(row.sex, Missing) or model.variables != 4:
        return None
    age, egfr, acr = row.earlier.value
    return kidney_failure_risk(4, model.settings.region, 5, age, row.sex.value == "male", egfr, acr)


def _cautions(row: FourVariables) -> Sequence[str]:
    said: list[str] = []
    if isinstance(row.age, Reading) and row.age.value >= 80:
        said.append("age 80 or more: the equation does not count death before kidney failure")
    if isinstance(row.age, Reading) and row.age.value > 90:
        said.append("age over 90: few people of this age were in the studies")
    for name in ("egfr", "acr", *EIGHT):
        said += getattr(row, name).notes if hasattr(row, name) else ()
    if isinstance(row.egfr, Reading):
        if not chronic(row):
            said.append("one eGFR, not yet confirmed chronic")
        if row.egfr.method != "CKD-EPI 2021":
            said.append(f"eGFR {row.egfr.method}: not computed here")
        if isinstance(row.acr, Reading) and row.acr.when and row.egfr.when:
            if abs(row.acr.when - row.egfr.when) > timedelta(days=180):
                said.append("urine albumin and creatinine were measured more than 180 days apart")
            if row.acr.method == "timed collection":
                said.append("the urine albumin-creatinine ratio is from a timed collection")
    said += _records(row)
    return said


def _records(row: FourVariables) -> list[str]:
    said = []
    if isinstance(row.any_dialysis, Reading) and isinstance(row.dialysis, Missing):
        said.append(f"dialysis recorded {row.any_dialysis.date}")
    if isinstance(row.unclear_pregnancy, Reading):
        said.append(f"a pregnancy status of {row.unclear_pregnancy.date} could not be understood; ask")
    if isinstance(row.disease_specific, Reading):
        said.append("a disease-specific equation is preferred (KDIGO 2024)")
    if isinstance(row.unusable_creatinine, Reading):
        found = row.unusable_creatinine
        what = f"a creatinine of {found.date} ({found.as_sent}) could not be read"
        said.append(f"{what}; acute injury is not ruled out")
    only_esrd = (
        isinstance(row.esrd, Reading) and isinstance(row.transplant, Missing) and isinstance(row.dialysis, Missing)
    )
    if only_esrd and isinstance(row.egfr, Reading) and row.egfr.value >= 30:
        said.append(f"record conflicts with eGFR {round_half_up(row.egfr.value)}; check the problem list")
    return said
