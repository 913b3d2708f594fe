"""What a new model and a new service begin with: everything that is always so, and FILL IN where it is not."""

from string import Template

FILL_IN = "FILL IN"
"""Marks a line that only its author can write; `bedside models check` lists those that are left."""

FORMULA = Template('''\
"""$id: FILL IN in one sentence what it tells of whom."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    Age,
    Deceased,
    Latest,
    Missing,
    Predictors,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    lab_series,
    months,
    slug,
)


class Inputs(Predictors):
    """FILL IN: what it asks of a chart. Features: `from cds import` Age, Sex, Latest, Ever and more."""

    deceased = Deceased()
    age = Age()
    creatinine = Latest(lab_series("creatinine", count=10), within=months(12))


class $cls(RiskModel):
    id = "$id"
    predictors = Inputs

    def refuse(self, row: Inputs) -> Refusal | None:
        """FILL IN: whom else the publication leaves out. A missing input is never replaced."""
        if isinstance(row.deceased, Reading):
            return Refusal("deceased", f"deceased {row.deceased.date}".strip())
        for name in self.card.inputs:
            answer = row.answers()[name]
            if isinstance(answer, Missing):
                return Refusal(f"{slug(name)}-{slug(answer.why)}", f"{name}: {answer.why}")
        return None

    def predict(self, row: Inputs) -> Sequence[Score]:
        """FILL IN: the published formula, cited here; for a probability an Estimate instead of a Score."""
        raise NotImplementedError

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        """A line of reference.csv: a column for each input by its name in Inputs, and `expected`."""
        given = {name: Reading(_cell(text), when=_NOON) for name, text in values.items() if name != "expected"}
        slot = ("$title", None)  # FILL IN: the outcome as in card.yaml; of a probability its years in place of None
        return Reference(Inputs.given(_NOON, **given), {}, {slot: float(values["expected"])})


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
''')

TRAINED = Template('''\
"""$id: FILL IN in one sentence what it tells of whom."""

from collections.abc import Mapping
from datetime import UTC, datetime

from cds import (
$imports
)


class Inputs(Predictors):
    """What it asks of a chart, as far as the names of the file's columns tell."""

    deceased = Deceased()
$features

class $cls(TrainedModel):
    id = "$id"
    predictors = Inputs

    def refuse(self, row: Inputs) -> Refusal | None:
        """FILL IN: whom the training data did not hold. A missing input is never replaced."""
        if isinstance(row.deceased, Reading):
            return Refusal("deceased", f"deceased {row.deceased.date}".strip())
        for name in self.card.inputs:
            answer = row.answers()[name]
            if isinstance(answer, Missing):
                return Refusal(f"{slug(name)}-{slug(answer.why)}", f"{name}: {answer.why}")
        return None

    def columns(self, row: Inputs) -> dict[str, float | str]:
        """Each column of the file from what the chart says, in the unit with which it was trained."""
        return {
$columns
        }

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        """A line of reference.csv: a column for each input, and `expected`, a probability by the team's own program."""
        given = {name: Reading(_cell(text), when=_NOON) for name, text in values.items() if name != "expected"}
        years = 5.0  # FILL IN: as horizons_years in card.yaml
        return Reference(Inputs.given(_NOON, **given), {}, {years: float(values["expected"])})


def _number(answer: Reading[int] | Reading[float] | Missing) -> float:
    if isinstance(answer, Missing):
        raise TypeError("a row with a missing input was not refused")
    return float(answer.value)


def _male(answer: Reading[str] | Missing) -> float:
    if isinstance(answer, Missing):
        raise TypeError("a row with a missing input was not refused")
    return 1.0 if answer.value == "male" else 0.0


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
''')

CARD = Template("""\
# What is empty here keeps the site from starting: `bedside models check $folder` lists it.
name: $title
short_name: $title
version: 0.1.0
citation: []  # where it was published; of your own, who made it from what
outcome: $title  # what the number is about
horizons_years: $horizons
intended_use: ''
intended_users: ''
population: ''  # of whom it may be asked
cautions: []  # what a reader must know beside the number
inputs: # each as a feature of the row, with unit and look-back
$inputs
thresholds: [] # {horizon_years: 5, percent: 5, action: …, source: …}, or {at_least: 2, action: …, source: …} of a score
licence: ''  # who may use it, and where that is written
checked: []  # what was compared with what
unverified: []  # what no source confirms
topic: {system: 'urn:bedside:topic', code: $id, display: '$title'}
url: ''  # https://…, where a reader finds the publication
source_attributes: # 45 CFR 170.315(b)(11)(iv)(B); "not available" is a value
$attributes
""")

SERVICE = Template('''\
"""FILL IN when it speaks: $title, where something can be done."""

from textwrap import shorten

from cds import (
    SUMMARY_LIMIT,
    Card,
    Coding,
    Guidance,
    HookCall,
    NotScored,
    Source,
    Threshold,
    beside,
    hook,
    plain,
    shown_number,
    silence,
)


@hook(
    "patient-view",
    id="$id",
    title="$title",
    description="FILL IN: what it tells of whom, and when it is silent",
    models=("$model",),
)
def $function(call: HookCall) -> Guidance:
    """One card when a threshold of the model's card is crossed; silent otherwise."""
    outcome = call.outcome()
    if isinstance(outcome, NotScored):
        return silence(outcome)
    model = call.models[outcome.model]
    number = outcome.estimates[0]
    crossed = [one for one in model.thresholds if one.about(number) and one.told(number) == "above"]
    if not crossed:
        return silence(outcome)
    source = Source(model.card.short_name, model.card.url, Coding(**model.card.topic))
    whole = f"{model.card.short_name}: {shown_number(number)}. {max(crossed, key=_cut).action}."
    summary = shorten(whole, SUMMARY_LIMIT - 1, placeholder=" …")
    notes = [f"- {plain(note)}" for note in beside(outcome, call.outcomes.values(), call.failed)]
    if summary.endswith("…"):
        notes = [whole, "", *notes]
    return Guidance((Card(summary, "info", source, detail="\\n".join(notes)),))


def _cut(threshold: Threshold) -> float:
    """Where it lies: of several that are crossed the highest speaks, in whatever order the card has them."""
    return next(v for v in (threshold.percent, threshold.above, threshold.at_least) if v is not None)
''')
