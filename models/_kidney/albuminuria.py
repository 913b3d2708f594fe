"""The urine albumin that a kidney score uses: spot before protein, bounds named, nothing guessed."""

import re
from datetime import datetime

from cds import (
    CONDITION_CODES,
    CONDITIONS,
    Bound,
    Chart,
    Ever,
    Feature,
    Latest,
    Missing,
    Need,
    Reading,
    Result,
    Sex,
    lab_series,
    months,
    reading,
    spell,
    structs,
)  # fmt: skip
from models._kidney.equation import a_stage, acr_from_pcr
from models._kidney.gates import active

ACR = lab_series("uacr", "uacr", "uacr_timed", key="uacr", count=10)
PCR = Latest(lab_series("upcr", count=10, required=False), within=months(12))
DIABETES = Ever(CONDITION_CODES["diabetes"], holds=active, needs=(CONDITIONS,))
HYPERTENSION = Ever(CONDITION_CODES["hypertension"], holds=active, needs=(CONDITIONS,))
SEX = Sex()
_RECENT, _LOOK_BACK = months(12), months(24)
_TIMED = {entry.code for codes in ACR.codes if codes.name == "uacr_timed" for entry in codes.entries}
_BOUND_TEXT = re.compile(r"\s*+([<>])\s*+(\d{1,6}(?:\.\d{1,6})?)(?![\d.])\s*+(\S[^<>]{0,20}+)?\s*+", re.ASCII)


_NO_RATIO = ("never recorded", "too old", "no date", "not final")
"""Why a protein ratio may stand in: as if there were no albumin ratio at all."""
CONVERTED = "converted from PCR"
PROTEIN = "PCR"


class Albuminuria(Feature[Reading[float] | Missing]):
    """Albumin-creatinine ratio in mg/g of 24 months; without one, the ratio converted from protein of 12 months.

    `detection_limit` (mg/g, the site's assay) lets 0 and "not calculable" stand as at most that limit.
    """

    def __init__(self, detection_limit: float | None = None) -> None:
        self.detection_limit = detection_limit

    def needs(self) -> tuple[Need, ...]:
        return (*ACR.needs(), *PCR.needs(), CONDITIONS)

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        results = chart.read(ACR, at)
        newest = results.newest
        found = results.none() if newest is None else self._acr(newest, at, results.notes(newest))
        if isinstance(found, Missing) and found.why in _NO_RATIO:
            return _from_protein(chart, at, found) or found
        return found

    def _acr(self, newest: Result, at: datetime, notes: tuple[str, ...]) -> Reading[float] | Missing:
        if newest.when.first < _LOOK_BACK.before(at):
            return newest.missing("too old")
        result, bound = self._bounded(newest)
        if isinstance(result, Missing):
            return result
        said = [*notes]
        if newest.when.first < _RECENT.before(at):
            said.append("the urine albumin-creatinine ratio is more than 12 months old")
        timed = newest.fact.coding.code in _TIMED
        base = reading(result, ACR.analyte, said)
        return structs.replace(base, bound=bound, method="timed collection" if timed else "spot urine")

    def _bounded(self, newest: Result) -> tuple[Result | Missing, Bound | None]:
        """The result with the bound that its comparator, its text or a zero makes of it."""
        if newest.why in ("modified", "not readable", "unit not accepted"):
            return newest.missing(), None
        newest = _from_text(newest)
        if newest.fact.value == 0 or _not_calculable(newest):
            if self.detection_limit is None:
                return newest.missing("not calculable"), None
            return structs.replace(newest, value=self.detection_limit, why=None), "at most"
        if newest.why is not None or newest.value is None:
            return newest.missing(), None
        if newest.comparator is None:
            return newest, None
        molar = newest.unit == "mg/mmol"
        if newest.comparator == "<" and (newest.value <= 30 or (molar and newest.sent <= 3.4)):
            return newest, "at most"
        if newest.comparator == ">" and (newest.value >= 300 or (molar and newest.sent >= 30)):
            return newest, "at least"
        return newest.missing("comparator"), None


def _not_calculable(result: Result) -> bool:
    return result.fact.value is None and (result.fact.text or "").strip().lower() == "not calculable"


def _from_text(result: Result) -> Result:
    """A result whose laboratory sent exactly "<x unit" or ">x unit" as a string; any other string stays unusable."""
    if result.fact.text is None or result.fact.value is not None or result.fact.problem is not None:
        return result
    match = _BOUND_TEXT.fullmatch(result.fact.text)
    if match is None:
        return result
    conversion = ACR.analyte.conversion(match[3], None)
    if conversion is None:
        return structs.replace(result, why="unit not accepted")
    fact = structs.replace(result.fact, value=float(match[2]), comparator=match[1], unit=match[3])
    value = float(match[2]) * conversion.factor + conversion.offset
    low, high = ACR.analyte.accepted
    usable, why = (value, None) if low <= value <= high else (None, "implausible")
    return structs.replace(result, fact=fact, value=usable, why=why, unit=conversion.unit, comparator=match[1])


def _from_protein(chart: Chart, at: datetime, no_ratio: Missing) -> Reading[float] | Missing | None:
    """The ratio converted from protein, why the protein cannot serve, or None when there is none either."""
    chart.facts("", PCR.series.need.key)  # a protein ratio that was not read is not absent
    pcr, sex = chart.read(PCR, at), chart.read(SEX, at)
    if isinstance(sex, Missing):
        return None
    if isinstance(pcr, Missing):
        return None if pcr.why in _NO_RATIO else structs.replace(pcr, shown=f"{PROTEIN} {pcr.shown}")
    diabetes, hypertension = (isinstance(chart.read(history, at), Reading) for history in (DIABETES, HYPERTENSION))
    notes = [*pcr.notes, "converted from a protein-creatinine ratio"]
    if pcr.value < 50:
        notes.append("the protein-creatinine ratio is below 50 mg/g, where the conversion is uncertain")
    if no_ratio.why == "not final":
        notes.append(f"an albumin-creatinine ratio ({no_ratio.shown}, {no_ratio.date}) is not final")
    return Reading(
        acr_from_pcr(pcr.value, sex.value == "female", diabetes, hypertension),
        unit="mg/g",
        when=pcr.when,
        written=pcr.written,
        source=pcr.source,
        as_sent=f"{PROTEIN} {pcr.as_sent}",
        method=CONVERTED,
        notes=tuple(notes),
    )


_PER_MMOL = frozenset({"mg/mmol", "ug/mmol", "mmol/mol"})


def sent_per_mmol(acr: Reading[float]) -> bool:
    """Whether the laboratory sent the ratio per mmol or mol of creatinine, and not per gram."""
    conversion = ACR.analyte.conversion(acr.as_sent.partition(" ")[2], None)
    return conversion is not None and conversion.unit in _PER_MMOL


def category(acr: Reading[float]) -> str:
    """KDIGO's category by the bands of the unit that was sent: 30 and 300 mg/g, or 3 and 30 mg/mmol."""
    return a_stage(acr.value, acr.bound, molar=sent_per_mmol(acr))


def in_both_units(acr: float) -> str:
    """310 mg/g (35 mg/mmol), as the two halves of the world read it."""
    molar = acr * 0.11312
    return f"{spell(round(acr, 1 if acr < 10 else 0))} mg/g ({spell(round(molar, 1 if acr < 100 else 0))} mg/mmol)"
