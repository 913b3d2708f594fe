"""Makes the view of a page from an answer: nothing is computed here that the answer does not hold."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from cds.cdshooks.answer import Answer, Deployed
from cds.cdshooks.card import Card, card_id
from cds.cdshooks.prefetch import covers
from cds.errors import DataUnavailable, ModelFailed, WrongPatient
from cds.features.feature import spell
from cds.risk.assessment import percent
from cds.risk.estimate import NotScored, Outcome, Risk
from cds.risk.explanation import Input
from cds.risk.history import history
from cds.risk.model import RiskModel
from cds.text import day_text, visible
from cds.web.smart import views
from cds.web.smart.about import about
from cds.web.smart.course import course_of
from cds.web.smart.figures import all_scores, numbers, unproposed
from cds.web.smart.showing import notes_of, outcomes_of, risks_of

UNSAID = "This service proposes nothing here. That does not say that nothing is needed."
"""Where a service is silent about a number and does not say that it is low."""
V = TypeVar("V", bound=Struct)


def page_of(said: Answer, deployed: Deployed, banner: views.Banner, launched: datetime, scope: str) -> views.Page:
    """One service's page. It says what the service's card says, and why there is no number where there is none."""
    base = views.Page(
        id=said.id,
        card=said.cards[0]["uuid"] if said.cards else card_id(f"{said.id}/page"),
        service=deployed.service.id,
        title=deployed.service.title,
        at=moment(said.at),
        launched=moment(launched),
        banner=banner,
        state="failed",
        headline="",
        reasons=_reasons(said),
    )
    if said.error is not None or not said.outcomes:
        return clean(structs.replace(base, **_trouble(said, deployed, scope)))
    outcomes = outcomes_of(said)
    outcome, risks = outcomes[0], risks_of(outcomes)
    model = deployed.models[outcome.model]
    steps = tuple(map(_step, said.guidance.cards)) if said.guidance else ()
    told = structs.replace(
        base,
        state="scored" if risks else "not-scored",
        headline=steps[0].summary if steps else _silent(said, outcome, deployed),
        steps=steps,
        notes=tuple(map(_sentence, steps[0].notes if steps else notes_of(said, deployed, outcomes))),
        inputs=_lines(said, deployed, risks or outcomes[:1]),
        cautions=tuple(dict.fromkeys(c for o in risks or outcomes[:1] for c in deployed.models[o.model].card.cautions)),
        about=about(model),
    )
    return clean(structs.replace(told, **_scored(said, deployed, risks)) if risks else told)


def entry_of(said: Answer, deployed: Deployed) -> views.Entry:
    """One service's line of the overview."""
    title, id_ = deployed.service.title, deployed.service.id
    if said.error is not None or not said.outcomes:
        told = _trouble(said, deployed, "")
        return clean(views.Entry(id_, title, told["state"], told["headline"]))
    outcomes = outcomes_of(said)
    outcome, risks = outcomes[0], risks_of(outcomes)
    cards = said.guidance.cards if said.guidance else ()
    headline = cards[0].summary if cards else _silent(said, outcome, deployed)
    found = numbers(outcome, deployed.models[outcome.model]) if isinstance(outcome, Risk) else ()
    points = all_scores(deployed, risks, proposes=False)
    state: views.State = "scored" if risks else "not-scored"
    return clean(views.Entry(id_, title, state, headline, found, points))


def _lines(said: Answer, deployed: Deployed, outcomes: Sequence[Outcome]) -> tuple[views.Line, ...]:
    """What they rest on, each input once."""
    found = (one for outcome in outcomes for one in deployed.models[outcome.model].inputs(outcome.row))
    return tuple(dict.fromkeys(_line(one, said.at) for one in found))


def _scored(said: Answer, deployed: Deployed, risks: Sequence[Risk]) -> dict[str, Any]:
    risk = risks[0]
    model = deployed.models[risk.model]
    past = history(model, said.chart, risk) if said.chart else None
    found = numbers(risk, model)
    proposes = bool(said.guidance and said.guidance.cards)
    return {
        "numbers": found if proposes else tuple(map(unproposed, found)),
        "scores": all_scores(deployed, risks, proposes=proposes),
        "source": model.title,
        "standing": model.standing(risk.row),
        "outcome": risk.estimates[0].outcome if found else model.card.outcome,
        "terms": _terms(model, risk),
        "course": course_of(past) if past else None,
        "knobs": tuple(
            views.KnobView(k.name, k.label, k.unit, spell(k.low), spell(k.high), spell(k.value))
            for k in model.knobs(risk.row)
        ),
        "excluded": tuple(dict.fromkeys(w for r in risks for w in deployed.models[r.model].exclusions(r.row))),
    }


def _terms(model: RiskModel, risk: Risk) -> views.Terms | None:
    told = model.explanation(risk.row)
    if told is None:
        return None
    years = max(told.risks, default=0)
    first = risk.estimates[0].outcome
    moves = {"log hazard": "the hazard", "log odds": "the odds", "log value": first, "points": ""}
    return views.Terms(
        told.reference,
        f"{percent(told.risks[years])} within {years:g} years" if told.risks else "",
        tuple(views.Term(t.name, t.value, t.reference, t.told, t.words, t.amount) for t in told.contributions),
        moves[told.contributions[0].scale] if told.contributions else "",
    )


def _line(one: Input, at: datetime) -> views.Line:
    source = ", ".join(dict.fromkeys(map(_source, one.sources)))
    return views.Line(one.name, one.value, one.note, one.date, _age(one, at), source, one.missing)


def _age(one: Input, at: datetime) -> str:
    """How old it is; of a month or a year, how old it may be: a result must not look newer than it is."""
    if one.when is None:
        return ""
    words = len(one.date.split())
    if words > 2:
        return ago(one.when, at)
    start = one.when.replace(day=1, hour=0, minute=0)
    told = ago(start if words == 2 else start.replace(month=1), at)
    return told if told == "today" else f"up to {told}"


_SOURCES = {
    "Observation": "Laboratory result (Observation)",
    "Patient": "Patient record (Patient)",
    "Condition": "Problem list (Condition)",
    "Procedure": "Procedure",
    "Encounter": "Visit (Encounter)",
    "MedicationRequest": "Prescription (MedicationRequest)",
}


def _source(reference: str) -> str:
    kind = reference.partition("/")[0]
    return _SOURCES.get(kind, kind if kind.isalpha() else "")


def _step(card: Card) -> views.Step:
    orders = (
        s.label
        for s in card.suggestions
        if not any(
            isinstance(a.resource, dict) and a.resource.get("resourceType") == "RiskAssessment" for a in s.actions
        )
    )
    guides = tuple(views.Guide(link.label, link.url) for link in card.links if link.type == "absolute")
    return views.Step(card.summary, card.indicator == "warning", card.advice, card.notes, tuple(orders), guides)


def _silent(said: Answer, outcome: Outcome, deployed: Deployed) -> str:
    """What a page says where the service stays silent."""
    text = said.guidance.text if said.guidance else ""
    if isinstance(outcome, NotScored):
        return f"{text} {deployed.service.title} not calculated: {outcome.text}.".strip()
    low = said.guidance is not None and said.guidance.reason == "low-risk"
    return text or ("Nothing in this risk calls for action." if low else UNSAID)


def _trouble(said: Answer, deployed: Deployed, scope: str) -> dict[str, Any]:
    """Why there is no answer at all. What could not be read is named; no number stands beside it."""
    title = deployed.service.title
    if isinstance(said.error, WrongPatient):
        headline = f"{title} not calculated: the data received are not all this patient's. Nothing is shown."
        return {"state": "unavailable", "headline": headline}
    if isinstance(said.error, DataUnavailable):
        unreadable = tuple(_unreadable(said.error, deployed, scope))
        headline = f"{title} not calculated: needed data could not be read."
        return {"state": "unavailable", "headline": headline, "unreadable": unreadable}
    if isinstance(said.error, ModelFailed) or said.error is None:
        return {"state": "failed", "headline": f"{title} not calculated: an internal error. It has been logged."}
    return {"state": "failed", "headline": f"{title} not calculated: {said.error.message}."}


def _unreadable(error: DataUnavailable, deployed: Deployed, scope: str) -> Iterator[tuple[str, str]]:
    kinds = {need.key: need.resource_type for need in deployed.needs}
    for key in error.keys:
        kind = kinds.get(key, "")
        named = key.replace("_", " ").capitalize()
        named = f"{named} ({kind})" if kind and not named.startswith(kind) else named
        granted = not scope or not kind or covers(scope, kind)
        yield named, "the EHR did not deliver it" if granted else f"the launch did not grant the right to read {kind}"
    if not error.keys:
        yield "The chart", error.message


def _reasons(said: Answer) -> tuple[views.Choice, ...]:
    cards: Sequence[Card] = said.guidance.cards if said.guidance else ()
    given = (reason for card in cards[:1] for reason in card.override_reasons)
    return tuple(views.Choice(r.code, r.system, r.display or r.code) for r in given)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def moment(at: datetime) -> str:
    return f"{day_text(at)} {at:%H:%M} UTC"


def ago(when: datetime | None, at: datetime) -> str:
    """How old a result is, in the largest unit that fits."""
    if when is None:
        return ""
    days = max((at - when).days, 0)
    if days < 1:
        return "today"
    for size, unit in ((365.25, "year"), (30.44, "month"), (7, "week"), (1, "day")):
        number = int(days / size)
        if number >= (2 if unit != "day" else 1):
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return ""


def clean(view: V) -> V:
    """The view without anything that cannot be seen or turns the reading direction, in whatever text it stands."""
    return msgspec.convert(_visible(msgspec.to_builtins(view)), type(view))


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible(inner) for key, inner in value.items()}
    return [_visible(inner) for inner in value] if isinstance(value, list | tuple) else value
