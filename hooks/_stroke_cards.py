"""Which card the stroke and bleeding scores of a patient with atrial fibrillation call for, and in which words."""

from collections.abc import Iterator, Sequence

from cds import Card, Guidance, HookCall, Link, Missing, NotScored, Outcome, Reading, Risk
from hooks import _scores as scores
from models.cha2ds2.model import CONSIDERED, RECOMMENDED, Inputs

BLEEDING = "has-bled"
ADVICE = {
    RECOMMENDED: "offer oral anticoagulation, and treat what raises the risk of bleeding",
    CONSIDERED: "discuss oral anticoagulation, and treat what raises the risk of bleeding",
}
SOURCES = {
    "cha2ds2-va": "2024 ESC guideline for atrial fibrillation",
    "cha2ds2-vasc": "Lip et al., Chest 2010; from 2 in men and 3 in women",
}
LINKS = (Link("2024 ESC guideline for atrial fibrillation", "https://doi.org/10.1093/eurheartj/ehae176"),)


def stroke(call: HookCall, wanted: str) -> Outcome | None:
    """The outcome of the score that the site shows, or of the other one when that broke; None when both did."""
    other = next(iter(SOURCES.keys() - {wanted}))
    return call.outcomes.get(wanted) or call.outcomes.get(other)


def for_risk(call: HookCall, risk: Risk) -> Guidance:
    """A card when anticoagulation may be due and none is recorded; else silence, with the reason."""
    score, row = risk.score(), _row(risk)
    if score.band not in ADVICE:
        text = f"{scores.named(score)}: nothing in this score calls for action."
        return _card(call, risk, text, "") if call.settings.show_low_risk else Guidance(reason="low-risk", text=text)
    if isinstance(row.anticoagulant, Reading):
        since = f" ({row.anticoagulant.date})" if row.anticoagulant.when else ""
        text = f"An anticoagulant is recorded{since}: nothing more is proposed."
        return Guidance(reason="anticoagulant-recorded", text=text)
    summary = _summary(score.outcome, score.value, score.band)
    return _card(call, risk, summary, f"{ADVICE[score.band]} ({SOURCES[risk.model]})")


def _card(call: HookCall, risk: Risk, summary: str, advice: str) -> Guidance:
    bleeding, said = call.outcomes.get(BLEEDING), tuple(_notes(call, risk))
    kept = (risk, bleeding) if isinstance(bleeding, Risk) else (risk,)
    parts = (f"**{scores.named(risk.score())}**", scores.inputs_table(call, risk), *_tables(call, kept))
    card = Card(
        summary=summary,
        indicator="info",
        source=scores.source(call, risk),
        detail=scores.detail(call, kept, parts, advice, said),
        links=LINKS,
        override_reasons=scores.REASONS,
        advice=advice,
        notes=said,
    )
    return scores.with_saving(call, card, *kept)


def _summary(name: str, value: float, band: str) -> str:
    due = "is recommended" if band == RECOMMENDED else "should be considered"
    return f"{name} {value:g} in atrial fibrillation: anticoagulation {due}, and no current anticoagulant is recorded."


def _tables(call: HookCall, kept: Sequence[Risk]) -> Iterator[str]:
    for risk in kept:
        if risk.model == BLEEDING:
            yield f"**{scores.named(risk.score())}**"
        yield scores.points_table(scores.items(call, risk))


def _notes(call: HookCall, risk: Risk) -> Iterator[str]:
    yield from risk.cautions
    yield from _doubts(_row(risk).anticoagulant)
    bleeding = call.outcomes.get(BLEEDING)
    if isinstance(bleeding, Risk):
        yield from (caution for caution in bleeding.cautions if caution not in risk.cautions)
    elif isinstance(bleeding, NotScored):
        yield f"HAS-BLED is not calculated: {bleeding.text}"
    yield from scores.broken(call)


def _doubts(anticoagulant: Reading[bool] | Missing) -> Iterator[str]:
    """What stands in the way of knowing that no anticoagulant is taken."""
    if isinstance(anticoagulant, Reading) or anticoagulant.why == "never recorded":
        return
    if anticoagulant.why == "not read":
        yield "what the patient is stated to take was not read; ask"
    else:
        what = f"{anticoagulant.shown} {anticoagulant.date if anticoagulant.when else ''}".strip() or anticoagulant.why
        yield f"a medication that may be an anticoagulant is not known to be taken now ({what}); ask"


def _row(risk: Risk) -> Inputs:
    if not isinstance(risk.row, Inputs):
        raise TypeError("the stroke score is CHA2DS2-VA or CHA2DS2-VASc only")
    return risk.row
