"""Why there is no eGFR or no urine albumin, in the words of a clinician."""

from cds import FAULTS, Missing, cut
from models._kidney.albuminuria import PROTEIN


def egfr_text(missing: Missing) -> str:
    """Why there is no eGFR, for a clinician."""
    return _text("creatinine or eGFR", "12 months", missing, short="creatinine or eGFR of")


def acr_text(missing: Missing) -> str:
    """Why there is no urine albumin, for a clinician."""
    if missing.why == "not calculable":
        return f"urine ACR ({missing.date}) is below what the assay measures"
    short = "urine" if missing.shown.startswith(PROTEIN) else "urine ACR of"
    return _text("urine albumin-creatinine ratio", "24 months", missing, short)


_FAULTS = FAULTS | {
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


def creatinine_text(missing: Missing) -> str:
    """Why there is no creatinine of the last seven days to stage, for a clinician."""
    return _text("creatinine", "7 days", missing, short="creatinine of")
