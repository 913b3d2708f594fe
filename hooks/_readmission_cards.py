"""Which card the scores of a discharge call for, and in which words."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from cds import Card, Guidance, HookCall, Missing, NotScored, Outcome, Risk, silence
from hooks import _scores as scores
from models._points.items import Item, explained, total
from models.hospital.model import ASKED, HospitalRow
from models.hospital.model import HIGH as HOSPITAL_HIGH
from models.hospital.model import known as hospital_known
from models.lace.model import HIGH as LACE_HIGH
from models.lace.model import LaceRow
from models.lace.model import known as lace_known

HIGH = {"lace": LACE_HIGH, "hospital": HOSPITAL_HIGH}
NAMES = {"lace": "LACE", "hospital": "HOSPITAL"}
ACUTE = 3
MOST = {"oncology": 2, "procedure": 1, "urgent": 1}
"""The points that the items give which charts do not code."""
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
    def least(self) -> float:
        return total(self.items)

    @property
    def high(self) -> bool:
        """Whether it is high whatever is answered."""
        return self.least >= HIGH[self.outcome.model]

    @property
    def hangs(self) -> bool:
        """Whether an answer decides."""
        return not self.high and self.asked > 0 and self.least + self.asked >= HIGH[self.outcome.model]

    @property
    def told(self) -> str:
        bound = "at least " if self.asked else ""
        return f"{self.name} is {bound}{self.least:g}"


def for_outcomes(call: HookCall, outcomes: Iterable[Outcome]) -> Guidance:
    """One card for both scores; silence when none is high, and none hangs on an answer."""
    outcomes = tuple(outcomes)
    standings = [standing for outcome in outcomes if (standing := _standing(outcome)) is not None]
    high = [standing for standing in standings if standing.high]
    hanging = [standing for standing in standings if standing.hangs]
    if not (high or hanging or (standings and call.settings.show_low_risk)):
        return silence(next((o for o in outcomes if isinstance(o, Risk)), outcomes[0]))
    first = (high or hanging or standings)[0]
    actions = [scores.saved(call, outcome) for outcome in outcomes if isinstance(outcome, Risk)]
    said = tuple(_notes(call, outcomes))
    card = Card(
        summary=_summary(high, hanging, first),
        indicator="info",
        source=scores.source(call, first.outcome),
        detail="\n\n".join(filter(None, _detail(call, standings, said))),
        suggestions=scores.to_save(call, actions),
        override_reasons=scores.REASONS,
        advice=ADVICE,
        notes=said,
    )
    return Guidance((card,), tuple(actions) if call.settings.system_action else ())


def _standing(outcome: Outcome) -> Standing | None:
    """None for a score that says nothing yet, because more is missing than what is asked for."""
    row = outcome.row
    if isinstance(outcome, NotScored) and outcome.reason != "ask":
        return None
    if isinstance(row, LaceRow):
        asked = ACUTE if isinstance(row.acute_admission, Missing) else 0
        return Standing(outcome, tuple(lace_known(row)), asked, "was this admission acute?" if asked else "")
    if isinstance(row, HospitalRow):
        open_ones = [name for name in ASKED if isinstance(getattr(row, name), Missing)]
        questions = " ".join(ASKED[name] for name in open_ones)
        return Standing(outcome, tuple(hospital_known(row)), sum(MOST[name] for name in open_ones), questions)
    raise TypeError("the readmission service runs LACE and the HOSPITAL score only")


def _summary(high: list[Standing], hanging: list[Standing], first: Standing) -> str:
    if high:
        told = " and ".join(standing.told for standing in high)
        return f"{told}: high risk of readmission. Consider early follow-up after discharge."
    if hanging:
        most = first.least + first.asked
        return (
            f"{first.name} is {first.least:g} to {most:g}, high from {HIGH[first.outcome.model]}: answer what is asked."
        )
    return f"{first.told}, below {HIGH[first.outcome.model]}."


def _detail(call: HookCall, standings: list[Standing], said: tuple[str, ...]) -> Iterator[str]:
    for one in standings:
        yield f"**{one.told}** (high from {HIGH[one.outcome.model]})"
        yield scores.points_table(explained(one.items).contributions)
        if one.questions:
            yield f"**Not charted, and not assumed:** {one.questions} It may add {one.asked} points."
    yield f"**Consider:** {ADVICE}."
    yield from scores.please_note(said)
    yield from (scores.unverified(call, one.outcome) for one in standings)
    yield scores.closing(call)


def _notes(call: HookCall, outcomes: Iterable[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        yield from (f"{NAMES[outcome.model]}: {caution}" for caution in outcome.cautions)
        if isinstance(outcome, NotScored):
            yield f"{NAMES[outcome.model]} not calculated: {outcome.text}"
    yield from (f"the model {model} failed and is not shown" for model in call.failed)
