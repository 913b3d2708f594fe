"""Every model that the site finds conforms, and every check catches a model that does not."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, ClassVar

import pytest

from cds import (
    Estimate,
    Explanation,
    Feature,
    Input,
    Knob,
    Missing,
    Need,
    OutOfRange,
    Predictors,
    Reading,
    Reference,
    Refusal,
)
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, Entry
from cds.risk.conformance import CHECKS, Check, complaints
from cds.risk.model import RiskModel
from models.kfre.inputs import FourVariables
from models.kfre.model import Kfre4, KfreSettings
from tests.charts import AT, site

REGIONS = ("north-america", "elsewhere")
FOUND = [(region, name) for region in REGIONS for name in sorted(site(region=region).models)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("region", "name"), FOUND)
def test_every_model_conforms(region: str, name: str, check: Check) -> None:
    assert check(site(region=region).models[name]) == []


def test_the_site_found_models() -> None:
    assert {name for _, name in FOUND} >= {"kfre-4", "kfre-6", "kfre-8"}


class Forgetful(Kfre4):
    """Answers a little less each time, as a model does that draws without a seed."""

    calls: ClassVar[int] = 0

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        type(self).calls += 1
        return [Estimate(e.outcome, e.horizon_years, e.probability * 0.99**self.calls) for e in super().predict(row)]


class Batched(Kfre4):
    """Fills what is missing from the row before, as models do that impute from their batch."""

    last: ClassVar[float] = 0.0

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        before, type(self).last = self.last, row.egfr.value  # type: ignore[union-attr]
        return [Estimate(e.outcome, e.horizon_years, e.probability / (1 + before)) for e in super().predict(row)]


class Rounded(Kfre4):
    """Off in the seventh digit."""

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return [Estimate(e.outcome, e.horizon_years, round(e.probability, 6)) for e in super().predict(row)]


class Unreferenced(Kfre4):
    """Takes no line of the reference file."""

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        return None


class Misnamed(Kfre4):
    """Its card declares an input that nobody reads."""

    card_of_variant: ClassVar[Mapping[str, Any]] = {"inputs": {"cystatin_c": "cystatin C in mg/L"}}


class OtherHorizons(Kfre4):
    """Its card promises ten years."""

    card_of_variant: ClassVar[Mapping[str, Any]] = {"horizons_years": [2, 10]}


class Guessing(Kfre4):
    """Scores whatever comes, with the median of somebody's cohort."""

    def refuse(self, row: FourVariables) -> Refusal | None:
        return None

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return [Estimate(self.card.outcome, years, 0.05) for years in self.card.horizons_years]


class Breaking(Kfre4):
    """Falls over an input that is missing instead of refusing the row."""

    def refuse(self, row: FourVariables) -> Refusal | None:
        return None


class Speechless(Kfre4):
    """Refuses, and does not say why."""

    def refuse(self, row: FourVariables) -> Refusal | None:
        return Refusal("", "") if isinstance(row.age, Missing) else None


class Unrepeatable(Kfre4):
    """Lets through only a sex of a kind that JSON does not keep."""

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        reference = super().reference_row(values)
        if reference is None:
            return None
        answers = {**reference.row.answers(), "sex": Reading(("male",))}
        return Reference(FourVariables.given(AT, **answers), reference.settings, reference.expected)

    def refuse(self, row: Any) -> Refusal | None:
        return None if isinstance(row.sex, Reading) and isinstance(row.sex.value, tuple) else Refusal("sex", "no sex")

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return [Estimate(self.card.outcome, years, 0.05) for years in self.card.horizons_years]


class Mute(Kfre4):
    """Does not say what a number rests on."""

    def inputs(self, row: Any) -> Sequence[Input]:
        return ()


class Shortsighted(Kfre4):
    """Explains one of its two horizons."""

    def explanation(self, row: Any) -> Explanation:
        return Explanation("nobody", {2.0: 0.025}, ())


class Adrift(Kfre4):
    """Its what-if begins where it may not go."""

    def knobs(self, row: Any) -> Sequence[Knob]:
        return (Knob("egfr", "eGFR", "", 5, 59, 1, 60, 60),)


class Unaskable(Kfre4):
    """Offers a what-if, and does not answer it."""

    def with_changes(self, row: Any, **values: float) -> Predictors:
        raise OutOfRange("not today")


class Dated(Feature[Missing]):
    """Asks for what the server would have to reckon with today's date."""

    def needs(self) -> tuple[Need, ...]:
        today = CodeSet("today", [Entry("loinc", "2160-0&date=ge2026-01-01")])
        return (Need("today", "Observation", (today,), count=10),)

    def read(self, chart: Chart, at: Any) -> Missing:
        return Missing("never recorded")


class Path(Dated):
    """Asks by FHIRPath."""

    def needs(self) -> tuple[Need, ...]:
        return (Need("path", "Observation", (CodeSet("path", [Entry("loinc", "{{today()}}")]),), count=10),)


class WithDates(FourVariables):
    today = Dated()


class WithPath(FourVariables):
    path = Path()


class AsksByDate(Kfre4):
    predictors = WithDates


class AsksByPath(Kfre4):
    predictors = WithPath


def built(broken: type[Kfre4]) -> RiskModel:
    return broken.build(files("models.kfre"), KfreSettings(region="north-america"))


@pytest.mark.parametrize(
    ("broken", "caught_by", "complaint"),
    [
        (Forgetful, "deterministic", "two scores of reference line"),
        (Batched, "row_independent", "differs in another order"),
        (Rounded, "reference_rows", "within 2 years instead of"),
        (Unreferenced, "reference_rows", "has no row for kfre-4"),
        (Misnamed, "card_complete", "input cystatin_c is no feature"),
        (OtherHorizons, "card_complete", "other outcomes or horizons than the card"),
        (Guessing, "domain_honoured", "an empty chart is scored"),
        (Breaking, "domain_honoured", "an empty chart raises ModelFailed"),
        (Speechless, "domain_honoured", "no reason is given"),
        (Unrepeatable, "replays", "replays as sex"),
        (Mute, "explains", "rests on no input"),
        (Shortsighted, "explains", "is explained at other horizons"),
        (Adrift, "explains", "the what-if of egfr does not begin within its range"),
        (Unaskable, "explains", "cannot be explained: OutOfRange"),
        (AsksByDate, "prefetch_plain", "template of today asks by date"),
        (AsksByPath, "prefetch_plain", "template of path holds today()"),
    ],
)
def test_a_model_that_does_not_conform_is_caught(broken: type[Kfre4], caught_by: str, complaint: str) -> None:
    said = complaints(built(broken))
    assert [one for one in said if one.startswith(f"{caught_by}: ") and complaint in one]


def test_every_check_catches_something() -> None:
    marks = test_a_model_that_does_not_conform_is_caught.pytestmark  # type: ignore[attr-defined]
    assert {case[1] for case in marks[0].args[1]} == {check.__name__ for check in CHECKS}


def test_a_reference_file_that_is_not_there_is_a_complaint() -> None:
    lost = built(Kfre4)
    lost.reference = "nowhere.csv"  # type: ignore[misc]
    assert "reference_rows: nowhere.csv cannot be read: FileNotFoundError" in [
        f"reference_rows: {said}" for check in CHECKS if check.__name__ == "reference_rows" for said in check(lost)
    ]
    assert complaints(lost) == ["reference_rows: nowhere.csv cannot be read: FileNotFoundError"]


class OtherColumns(Kfre4):
    """Reads a column that its reference file has not."""

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        return super().reference_row({"age": values["years of age"]})


def test_a_reference_file_that_its_reader_breaks_on_is_one_complaint_with_kind_line_and_place() -> None:
    (said,) = complaints(built(OtherColumns))
    place = r"KeyError at tests/models/test_conformance\.py:\d+"
    assert re.fullmatch(rf"reference_rows: reference\.csv line 2 cannot be read \({place}\)", said)


def test_a_reference_line_of_something_else_is_told_without_what_stands_there(tmp_path: pathlib.Path) -> None:
    source = files("models.kfre")
    for name in ("card.yaml", "reference.csv"):
        (tmp_path / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    head, first, *_ = (tmp_path / "reference.csv").read_text(encoding="utf-8").splitlines()
    cells = ["sixty-three" if cell.replace(".", "").isdigit() else cell for cell in first.split(",")]
    text = "\n".join([head, first, "", ",".join(cells), ""])
    (tmp_path / "reference.csv").write_text(text, encoding="utf-8")
    (said,) = complaints(Kfre4.build(tmp_path, KfreSettings(region="north-america")))
    assert said.startswith("reference_rows: reference.csv line 4 cannot be read (ValueError at ")
    assert "sixty" not in said


def test_where_a_model_broke_stands_beside_what_broke() -> None:
    said = [one for one in complaints(built(Breaking)) if "raises ModelFailed" in one]
    assert said
    assert all(re.search(r" \(TypeError at models/kfre/model\.py:\d+\)$", one) for one in said)
