"""FIB-4: an index of liver fibrosis from age, AST, ALT and platelets."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files

from cds import (
    ACTIVE,
    CONDITIONS,
    ENCOUNTERS,
    Age,
    Chart,
    Contribution,
    Deceased,
    Ever,
    Explanation,
    Fact,
    Latest,
    Missing,
    Number,
    Predictors,
    Reading,
    Reference,
    Refusal,
    Risk,
    RiskModel,
    Score,
    diagnosed,
    lab_series,
    lacking,
    months,
    read_code_sets,
    unsuited,
    very_old,
    within_days,
)

CODES = read_code_sets(files("models.fib_4") / "codes.csv")
HIGH = 2.67
APART = timedelta(days=30)
_TESTS = ("ast", "alt", "platelets")
_NAMES = {"ast": "AST", "alt": "ALT", "platelets": "platelets"}
_COUNT = "\N{MULTIPLICATION SIGN}10⁹/L"
_REFERENCE = f"a person of 50 years with AST and ALT of 40 U/L and platelets of 250 {_COUNT}, whose index is 1.26"
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fib_4(age: float, ast: float, alt: float, platelets: float) -> float:
    """The index; AST and ALT in U/L, platelets in 10⁹/L. Sterling et al., Hepatology 2006;43:1317."""
    return age * ast / (platelets * math.sqrt(alt))


def _acute(chart: Chart, fact: Fact, at: datetime) -> bool:
    """An acute hepatitis of six months; undated, as long as it is active."""
    if chart.when(fact) is None:
        return fact.clinical_status in ACTIVE
    return within_days(chart, fact, at, 183)


class Inputs(Predictors):
    """Age and three laboratory results of six months, with the gate of acute hepatitis."""

    deceased = Deceased()
    age = Age()
    acute_hepatitis = Ever(CODES["acute_hepatitis"], holds=_acute, needs=(CONDITIONS, ENCOUNTERS))
    cirrhosis = diagnosed("cirrhosis", active=False)
    ast = Latest(lab_series("ast", count=10), within=months(6))
    alt = Latest(lab_series("alt", count=10), within=months(6))
    platelets = Latest(lab_series("platelets", count=10), within=months(6))


class Fib4(RiskModel):
    id = "fib-4"
    predictors = Inputs

    def refuse(self, row: Inputs) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: Inputs) -> Sequence[Number]:
        age, ast, alt, platelets = _values(row)
        value = fib_4(age, ast, alt, platelets)
        return (Score(self.card.outcome, value, "", band(value, age)),)

    def cautions(self, row: Inputs) -> Sequence[str]:
        return tuple(_cautions(row))

    def exclusions(self, row: Inputs) -> Sequence[str]:
        return ("acute hepatitis of six months",)

    def explanation(self, row: Inputs) -> Explanation:
        """By what each factor multiplies the index of the reference person: a product has factors, and no points."""
        age, ast, alt, platelets = _values(row)
        told = (
            ("Age", f"{age:g} years", "50 years", math.log(age / 50)),
            ("AST", f"{ast:g} U/L", "40 U/L", math.log(ast / 40)),
            ("ALT", f"{alt:g} U/L", "40 U/L", -math.log(alt / 40) / 2),
            (
                "Platelets",
                f"{platelets:g} {_COUNT}",
                f"250 {_COUNT}",
                -math.log(platelets / 250),
            ),
        )
        return Explanation(_REFERENCE, {}, tuple(Contribution(*term, "log value") for term in told))

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        given = {name: Reading(float(values[name]), when=_NOON) for name in _TESTS}
        row = cls.predictors.given(_NOON, age=Reading(int(values["age"]), "a"), **given)
        return Reference(row, {}, {("FIB-4", None): float(values["fib_4"])}, float(values["tolerance"]))


def band(value: float, age: float) -> str:
    """Low below 1.30, or below 2.0 from age 65; high above 2.67."""
    if value > HIGH:
        return "high"
    return "low" if value < (2.0 if age >= 65 else 1.30) else "indeterminate"


def row_of(risk: Risk) -> Inputs:
    if not isinstance(risk.row, Inputs):
        raise TypeError("the row is not one of FIB-4")
    return risk.row


def _values(row: Inputs) -> tuple[float, float, float, float]:
    age, ast, alt, platelets = row.age, row.ast, row.alt, row.platelets
    if isinstance(age, Missing) or isinstance(ast, Missing) or isinstance(alt, Missing):
        raise TypeError("a row with a missing input was not refused")
    if isinstance(platelets, Missing):
        raise TypeError("a row without platelets was not refused")
    return float(age.value), ast.value, alt.value, platelets.value


def _refusals(row: Inputs) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age, youngest=35)) is not None:
        young = isinstance(row.age, Reading) and row.age.value < 35
        yield Refusal("age", "under 35: FIB-4 is not reliable at this age") if young else person
    if isinstance(row.acute_hepatitis, Reading):
        yield Refusal("acute-hepatitis", f"acute hepatitis recorded {row.acute_hepatitis.date}")
    for name in _TESTS:
        answer = getattr(row, name)
        if isinstance(answer, Missing):
            yield lacking(_NAMES[name], answer, "6 months")
        elif answer.value <= 0:
            yield Refusal(f"{name}-zero", f"{_NAMES[name]} of 0 ({answer.date}): check the result")
    if (dates := [a.when for name in _TESTS if isinstance(a := getattr(row, name), Reading) and a.when]) and (
        max(dates) - min(dates) > APART
    ):
        yield Refusal("tests-apart", "AST, ALT and platelets were measured more than 30 days apart")


def _cautions(row: Inputs) -> Iterator[str]:
    for name in _TESTS:
        yield from getattr(row, name).notes
    if isinstance(row.age, Reading) and row.age.value >= 65:
        yield "age 65 or more: the lower cut-off is 2.0 and the index is less specific"
    yield from very_old(row.age)
