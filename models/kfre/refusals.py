"""Whom the kidney failure equations do not score, in the order in which a clinician would ask."""

from collections.abc import Iterator

from cds import Missing, Reading, Refusal, slug
from models.kfre.albuminuria import PROTEIN
from models.kfre.equation import round_half_up
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


def egfr_text(missing: Missing) -> str:
    """Why there is no eGFR, for a clinician."""
    return _text("creatinine or eGFR", "12 months", missing, short="creatinine or eGFR of")


def acr_text(missing: Missing) -> str:
    """Why there is no urine albumin, for a clinician."""
    if missing.why == "not calculable":
        return f"urine ACR ({missing.date}) is below what the assay measures"
    short = "urine" if missing.shown.startswith(PROTEIN) else "urine ACR of"
    return _text("urine albumin-creatinine ratio", "24 months", missing, short)


SHOWN = 20  # characters of a laboratory's own words: a summary has to stay under 140
_FAULTS = {
    "comparator": "is not an exact value",
    "implausible": "is implausible",
    "not final": "is not final",
    "no value": "has no value",
    "no date": "has no date",
    "other test": "also carries the code of another test",
    "modified": "carries a modifier that is not known here",
    "not readable": "cannot be read",
    "not stated": "gives no eGFR: sex is not recorded",
    "not precise enough": "has no precise date or is from before 18",
}


def _text(name: str, period: str, missing: Missing, short: str) -> str:
    short = short if missing.shown else short.removesuffix(" of")
    match missing.why:
        case "never recorded" | "too old":
            return f"no {name} in the last {period}"
        case "hospital values only":
            return f"hospital values only; no outpatient {name} in the last {period}"
        case "method not accepted":
            return f"no creatinine in the last {period}, only an eGFR by an equation that does not serve for risk"
        case "unit not accepted" if not _has_unit(missing.shown):
            return f"{short} {_shown(missing)} has no unit"
        case "unit not accepted":
            return f"{short} {_shown(missing)} has a unit that is not accepted"
        case "no value" if missing.shown:
            return f"{short} {_shown(missing)} was sent as text, not as a number"
        case why:
            return f"{short} {_shown(missing)} {_FAULTS.get(why, why)}"


def _has_unit(shown: str) -> bool:
    return any(c.isalpha() or c in "/%" for c in shown.removeprefix(PROTEIN))


def _shown(missing: Missing) -> str:
    if not missing.shown:
        return f"({missing.date})"
    return f"{cut(missing.shown)} ({missing.date})"


def cut(words: str, most: int = SHOWN) -> str:
    """A laboratory's own words, cut where everybody sees it."""
    return words if len(words) <= most else f"{words[: most - 1]}…"
