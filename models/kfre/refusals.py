"""Whom the kidney failure equations do not score, in the order in which a clinician would ask."""

from collections.abc import Iterator

from cds import Missing, Reading, Refusal, slug
from models._kidney.equation import round_half_up
from models._kidney.words import SHOWN, acr_text, cut, egfr_text
from models.kfre.inputs import FourVariables


def first_refusal(row: FourVariables) -> Refusal | None:
    """The first gate that closes: deceased, age, sex, transplant, dialysis, ESRD, pregnancy, AKI, eGFR, albumin."""
    return next(_refusals(row), None)


def _refusals(row: FourVariables) -> Iterator[Refusal]:
    yield from _person(row)
    yield from _records(row)
    yield from _egfr(row)
    if isinstance(row.acr, Missing):
        yield Refusal(f"acr-{slug(row.acr.why)}", acr_text(row.acr))


def _person(row: FourVariables) -> Iterator[Refusal]:
    if isinstance(row.deceased, Reading):
        yield Refusal("deceased", f"deceased {row.deceased.date}" if row.deceased.when else "deceased")
    if isinstance(row.age, Missing):
        how = "birth date is missing" if row.age.why == "never recorded" else "birth date is not precise enough"
        yield Refusal("age", how)
    elif row.age.value < 18:
        yield Refusal("age", "under 18")
    elif row.age.value > 110:
        yield Refusal("age", "age over 110: check the birth date")
    if isinstance(row.sex, Missing):
        yield Refusal("sex", "sex is not recorded as male or female")


def _records(row: FourVariables) -> Iterator[Refusal]:
    if isinstance(row.transplant, Reading):
        yield Refusal("kidney-transplant", f"kidney transplant recorded {row.transplant.date}")
    if isinstance(row.dialysis, Reading):
        yield Refusal("dialysis", f"dialysis recorded {row.dialysis.date}")
    if isinstance(row.esrd, Reading):
        yield Refusal("esrd", f"end-stage kidney disease recorded {row.esrd.date}")
    if isinstance(row.pregnancy, Reading):
        yield Refusal("pregnancy", "pregnant, or within 12 weeks of delivery")
    acute = row.aki_diagnosis if isinstance(row.aki_diagnosis, Reading) else row.acute_rise
    if isinstance(acute, Reading):
        yield Refusal("aki", f"acute kidney injury {acute.date}; repeat when stable, 90 days after")
    if isinstance(row.unexplained_rise, Reading):
        yield Refusal("creatinine-rise", f"creatinine up from {cut(row.unexplained_rise.as_sent, 2 * SHOWN)}")


def _egfr(row: FourVariables) -> Iterator[Refusal]:
    if isinstance(row.egfr, Missing):
        yield Refusal(f"egfr-{slug(row.egfr.why)}", egfr_text(row.egfr))
    elif row.egfr.value >= 60:
        yield Refusal("egfr-60-or-above", f"eGFR {round_half_up(row.egfr.value)}: the equation is for eGFR below 60")
