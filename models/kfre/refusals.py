"""Whom the kidney failure equations do not score, in the order in which a clinician would ask."""

from collections.abc import Iterator

from cds import Missing, Reading, Refusal, slug, unsuited
from models._kidney.equation import round_half_up
from models._kidney.refusals import acute_refusals
from models._kidney.words import acr_text, egfr_text
from models.kfre.inputs import FourVariables


def first_refusal(row: FourVariables) -> Refusal | None:
    """The first gate that closes: deceased, age, sex, transplant, dialysis, ESRD, pregnancy, AKI, eGFR, albumin."""
    return next(_refusals(row), None)


def _refusals(row: FourVariables) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age, row.sex)) is not None:
        yield person
    yield from _records(row)
    yield from acute_refusals(row.aki_diagnosis, row.acute_rise, row.unexplained_rise)
    yield from _egfr(row)
    if isinstance(row.acr, Missing):
        yield Refusal(f"acr-{slug(row.acr.why)}", acr_text(row.acr))


def _records(row: FourVariables) -> Iterator[Refusal]:
    if isinstance(row.transplant, Reading):
        yield Refusal("kidney-transplant", f"kidney transplant recorded {row.transplant.date}")
    if isinstance(row.dialysis, Reading):
        yield Refusal("dialysis", f"dialysis recorded {row.dialysis.date}")
    if isinstance(row.esrd, Reading):
        yield Refusal("esrd", f"end-stage kidney disease recorded {row.esrd.date}")
    if isinstance(row.pregnancy, Reading):
        yield Refusal("pregnancy", "pregnant, or within 12 weeks of delivery")


def _egfr(row: FourVariables) -> Iterator[Refusal]:
    if isinstance(row.egfr, Missing):
        yield Refusal(f"egfr-{slug(row.egfr.why)}", egfr_text(row.egfr))
    elif row.egfr.value >= 60:
        yield Refusal("egfr-60-or-above", f"eGFR {round_half_up(row.egfr.value)}: the equation is for eGFR below 60")
