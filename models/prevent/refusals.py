"""Whom PREVENT does not score, in the order in which a clinician would ask; nothing is brought within a range."""

from collections.abc import Iterator

from cds import Missing, Reading, Refusal
from models._heart.words import NAMES, UNITS, absent, amount, dated, drug_refusals, person_refusals
from models._kidney.words import egfr_text
from models.prevent.equation import ADDED, Variant
from models.prevent.inputs import Prevent

YOUNGEST, OLDEST, OLDEST_FOR_30 = 30, 79, 59
RANGES = {
    "total_cholesterol": (130, 320), "hdl_cholesterol": (20, 100), "sbp": (90, 200), "bmi": (18.5, 40),
    "egfr": (15, 140), "acr": (0.1, 25000), "hba1c": (4.5, 15),
}  # fmt: skip
"""The lowest and the highest value for which the equations were made; a body mass index has to be below its highest."""
BY_2021 = ("CKD-EPI 2021", "CKD-EPI 2021, reported")
_NOISE = 1e-9
"""What a conversion between units may add to a value that stands on the edge of a range."""


def refusals(row: Prevent, variant: Variant) -> Iterator[Refusal]:
    yield from person_refusals(row, YOUNGEST, OLDEST)
    if isinstance(row.heart_failure, Reading):
        yield Refusal("heart-failure", dated("heart failure recorded", row.heart_failure))
    if isinstance(row.pregnancy, Reading):
        yield Refusal("pregnancy", "pregnant, or within 12 weeks of delivery")
    for name in ("total_cholesterol", "hdl_cholesterol", "sbp", "bmi", "egfr"):
        yield from _needed(name, getattr(row, name))
    if isinstance(row.egfr, Reading) and row.egfr.method not in BY_2021:
        yield Refusal("egfr-method", f"eGFR {row.egfr.method}: the equations take CKD-EPI 2021 from creatinine")
    if isinstance(row.smoking, Missing):
        yield absent("smoking", row.smoking)
    yield from drug_refusals(row, "antihypertensive", "statin")
    for name in ADDED[variant]:
        if name in RANGES and isinstance(answer := getattr(row, name), Reading):
            yield from _beyond(name, answer.value)


def _needed(name: str, answer: Reading[float] | Missing) -> Iterator[Refusal]:
    if isinstance(answer, Reading):
        yield from _beyond(name, answer.value)
    elif name == "egfr":
        yield Refusal(absent(name, answer).reason, egfr_text(answer))
    else:
        yield absent(name, answer)


def _beyond(name: str, value: float) -> Iterator[Refusal]:
    low, high = RANGES[name]
    within = low - _NOISE <= value <= high + _NOISE if name != "bmi" else low - _NOISE <= value < high
    if not within:
        to = "to under" if name == "bmi" else "to"
        said = f"{NAMES[name]} {amount(name, value)}: the equations are for {low:g} {to} {high:g} {UNITS[name]}"
        yield Refusal(f"{name.replace('_', '-')}-out-of-range", said)
