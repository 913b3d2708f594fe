"""Which card the scores of a discharge call for, and in which words."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from cds import Card, Guidance, HookCall, Item, NotScored, Outcome, Risk, silence, structs, total
from hooks import _scores as scores
from models.hospital.equation import ONCOLOGY, PROCEDURE, URGENT
from models.hospital.model import ASKED
from models.hospital.model import HIGH as HOSPITAL_HIGH
from models.lace.equation import ACUTE
from models.lace.model import HIGH as LACE_HIGH

HIGH = {"lace": LACE_HIGH, "hospital": HOSPITAL_HIGH}
NAMES = {"lace": "LACE", "hospital": "HOSPITAL"}
QUESTIONS = {
    "lace": {"Acute admission": ("was this admission acute?", ACUTE)},
    "hospital": {
        "Discharge from an oncology service": (ASKED["oncology"], ONCOLOGY),
        "Coded procedure in the stay": (ASKED["procedure"], PROCEDURE),
        "Urgent admission": (ASKED["urgent"], URGENT),
    },
}
"""The items that charts do not code: what is asked, and the points that the answer may give."""
ANSWER = "answer what is asked; early follow-up if the score is then high"
ADVICE = "arrange early follow-up: a visit or call within days, medicines reconciled, and a named contact"


class Standing(Struct, frozen=True):
    """What is known of one score: its outcome, its items, and how many points what is asked for may still add."""

    outcome: Outcome
    items: tuple[Item, ...]
    asked: int = 0
    questions: str = ""

    @property
    def name(self) -> str:
        return NAMES[self.outcome.model]

    @property
    def least(self) -> int:
        return total(self.items)

    @property
    def high(self) -> bool:
        """Whether it is high whatever is answered."""
        return self.least >= HIGH[self.outcome.model]

    @property
    def hangs(self) -> bool:
        """Whether an answer decides."""
        return not self.high and self.least + self.asked >= HIGH[self.outcome.model]

    @property
    def told(self) -> str:
        bound = "at least " if self.asked else ""
        return f"{self.name} is {bound}{self.least}"


def for_outcomes(call: HookCall, outcomes: Sequence[Outcome]) -> Guidance:
    """One card for both scores when one is surely high; what only hangs on an answer speaks where the site wants it."""
    standings = [standing for outcome in outcomes if (standing := _standing(call, outcome)) is not None]
    high = [standing for standing in standings if standing.high]
    hanging = [standing for standing in standings if standing.hangs and call.settings.ask_for_missing]
    low = [standing for standing in standings if not standing.hangs and call.settings.show_low_risk]
    if not (first := next(iter(high or hanging or low), None)):
        return silence(next((o for o in outcomes if isinstance(o, Risk)), outcomes[0]))
    advice = ADVICE if high else ANSWER if hanging else ""
    said, told = tuple(_notes(call, outcomes)), [standing.outcome for standing in standings]
    card = Card(
        summary=_summary(high, hanging, first),
        indicator="info",
        source=scores.source(call, first.outcome),
        detail=scores.detail(call, told, _parts(standings), advice, said),
        override_reasons=scores.REASONS,
        advice=advice,
        notes=said,
    )
    guidance = scores.with_saving(call, card, *(outcome for outcome in outcomes if isinstance(outcome, Risk)))
    return structs.replace(guidance, shows=_order(first, outcomes))


def _order(first: Standing, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """What a page shows: what is scored before what is not, and of it first what the card's sentence is about."""
    ordered = sorted(outcomes, key=lambda o: (not isinstance(o, Risk), o.model != first.outcome.model))
    return tuple(outcome.model for outcome in ordered)


def _standing(call: HookCall, outcome: Outcome) -> Standing | None:
    """None for a score that says nothing yet, because more is missing than what is asked for."""
    if isinstance(outcome, NotScored) and outcome.reason != "ask":
        return None
    found = tuple(scores.items(call, outcome))
    asked = [QUESTIONS[outcome.model][item.name] for item in found if item.points is None]
    return Standing(outcome, found, sum(most for _, most in asked), " ".join(question for question, _ in asked))


def _summary(high: list[Standing], hanging: list[Standing], first: Standing) -> str:
    if high:
        told = " and ".join(standing.told for standing in high)
        return f"{told}: high risk of readmission. Consider early follow-up after discharge."
    limit = HIGH[first.outcome.model]
    if hanging:
        return f"{first.name} is {first.least} to {first.least + first.asked}, high from {limit}: answer what is asked."
    return f"{first.told}, below {limit}."


def _parts(standings: list[Standing]) -> Iterator[str]:
    for one in standings:
        yield f"**{one.told}** (high from {HIGH[one.outcome.model]})"
        yield scores.points_table(one.items)
        if one.questions:
            yield f"**Not charted, and not assumed:** {one.questions} It may add {one.asked} points."


def _notes(call: HookCall, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        yield from (f"{NAMES[outcome.model]}: {caution}" for caution in outcome.cautions)
        if isinstance(outcome, NotScored):
            yield f"{NAMES[outcome.model]} not calculated: {outcome.text}"
    yield from scores.broken(call)
