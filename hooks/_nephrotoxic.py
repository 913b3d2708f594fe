"""Which draft orders may harm a kidney that is weak already, why it is, and the words of the warning."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from cds import (
    REASON_SYSTEM,
    SUMMARY_LIMIT,
    Action,
    Card,
    Coding,
    Draft,
    Guidance,
    HookCall,
    Missing,
    NotScored,
    Reading,
    Score,
    Source,
    Suggestion,
    day_text,
    plain,
    table,
)
from hooks._kidney_cards import LINKS
from models._kidney.codes import NEPHROTOXIC
from models._kidney.equation import round_half_up
from models._kidney.words import creatinine_text
from models.kdigo_aki.inputs import AkiInputs

NAMES = {"nsaid": "NSAID", "aminoglycoside": "aminoglycoside", "iodinated_contrast": "iodinated contrast"}
_UNREADABLE = ("unit not accepted", "implausible", "comparator", "no value", "other test", "modified", "not readable")


class Harmful(Struct, frozen=True):
    """A draft of one of the classes; `product` is as the code list calls it."""

    draft: Draft
    name: str
    product: str


def harmful(drafts: Sequence[Draft]) -> tuple[Harmful, ...]:
    """The drafts that are in the code list, in the order of the call."""
    found = ((draft, name, draft.entry_of(codes)) for draft in drafts for name, codes in NEPHROTOXIC.items())
    return tuple(Harmful(draft, name, entry.display) for draft, name, entry in found if entry is not None)


def guidance(call: HookCall, orders: Sequence[Harmful]) -> Guidance:
    """One warning on the orders that meet a reason; a question where the newest creatinine cannot be read."""
    row = row_of(call)
    if isinstance(row.deceased, Reading):
        return Guidance(reason="deceased")
    reasons = tuple(_reasons(call, row))
    pregnant = isinstance(row.pregnancy, Reading)
    met = [order for order in orders if reasons or (pregnant and order.name == "nsaid")]
    if met:
        also = ("pregnancy",) if pregnant and any(order.name == "nsaid" for order in met) else ()
        return Guidance((_card(call, met, (*reasons, *also)),))
    if isinstance(row.current_egfr, Missing) and row.current_egfr.why in _UNREADABLE:
        return Guidance((_unread(call, orders, row.current_egfr),))
    unknown = isinstance(row.current_egfr, Missing)
    return Guidance(reason="kidney-function-unknown" if unknown else "no-reason-to-warn")


def row_of(call: HookCall) -> AkiInputs:
    row = call.outcome().row
    if not isinstance(row, AkiInputs):
        raise TypeError("this service reads the row of the acute kidney injury model only")
    return row


def _reasons(call: HookCall, row: AkiInputs) -> Iterator[str]:
    """Why a nephrotoxic order is to be thought over: eGFR below 30, acute injury, a transplanted kidney."""
    if isinstance(row.current_egfr, Reading) and row.current_egfr.value < 30:
        yield f"eGFR {_below_30(row.current_egfr.value)} ({row.current_egfr.date})"
    acute = row.aki_diagnosis if isinstance(row.aki_diagnosis, Reading) else row.acute_rise
    outcome = call.outcome()
    stage = 0.0 if isinstance(outcome, NotScored) else outcome.estimates[0]
    if isinstance(stage, Score) and stage.value >= 1:
        yield f"acute kidney injury, stage {stage.value:g}"
    elif isinstance(acute, Reading):
        yield f"acute kidney injury ({acute.date})" if acute.when else "acute kidney injury"
    elif isinstance(row.unexplained_rise, Reading):
        yield f"a creatinine that rose from {row.unexplained_rise.as_sent}"[:60]
    if isinstance(row.transplant, Reading):
        yield "a kidney transplant"


def _below_30(egfr: float) -> str:
    """29.6 for what rounds to 30: never a 30 that is said to be below it."""
    return str(round_half_up(egfr)) if round_half_up(egfr) < 30 else f"{min(round(egfr, 1), 29.9):.1f}"


def _card(call: HookCall, met: Sequence[Harmful], reasons: Sequence[str]) -> Card:
    what = _listed(tuple(dict.fromkeys(NAMES[order.name] for order in met)))
    start = f"{what[:1].upper()}{what[1:]} drafted with"
    ways = [
        f"{start} {_listed(reasons)}: {ADVICE}.",
        f"{start} {_listed(reasons)}.",
        f"{start} {reasons[0]}: {ADVICE}.",
    ]
    ways.append("Drafted orders may harm the kidneys: check the need, the dose and an alternative.")
    summary = next(way for way in ways if len(way) < SUMMARY_LIMIT)
    return Card(
        summary=summary,
        indicator="warning",
        source=_source(call),
        detail=_detail(call, met, reasons),
        suggestions=tuple(_suggestions(met)),
        links=LINKS,
        override_reasons=REASONS,
        advice=ADVICE,
        notes=tuple(call.outcome().cautions),
    )


ADVICE = "check the need, the dose and an alternative"


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _suggestions(met: Sequence[Harmful]) -> Iterator[Suggestion]:
    """To delete each draft that can be named: offered, never recommended."""
    for order in met:
        if order.draft.reference:
            label = f"Delete the draft: {order.product}"
            yield Suggestion(label, (Action("delete", label, resourceId=order.draft.reference),))


def _detail(call: HookCall, met: Sequence[Harmful], reasons: Sequence[str]) -> str:
    row = row_of(call)
    orders = [(NAMES[order.name], plain(order.product)) for order in met]
    notes = [plain(note) for note in (*call.outcome().cautions, *row.current_egfr.notes)]
    if isinstance(row.long_term_dialysis, Reading):
        notes.append("on dialysis an eGFR from creatinine does not tell kidney function")
    parts = [
        table(("Drafted", "As the code list calls it"), orders),
        f"**Because of:** {'; '.join(map(plain, reasons))}.",
        *([f"**Please note:** {'; '.join(dict.fromkeys(notes))}."] if notes else []),
        "The list of products and studies is closed and not complete: silence about an order does not mean it is safe.",
        f"Supports, does not replace, clinical judgement. Looked at {day_text(call.at)} {call.at:%H:%M} UTC.",
    ]
    return "\n\n".join(parts)


def _unread(call: HookCall, orders: Sequence[Harmful], why: Missing) -> Card:
    what = _listed(tuple(dict.fromkeys(NAMES[order.name] for order in orders)))
    said = creatinine_text(why)
    ways = (f"Kidney function not checked for the {what} drafted: {said}.", f"Kidney function not checked: {said}.")
    detail = f"{plain(said)}. The order was not compared with kidney function; repeat the creatinine."
    return Card(next(way for way in ways if len(way) < SUMMARY_LIMIT), "info", _source(call), detail, links=LINKS)


def _source(call: HookCall) -> Source:
    card = call.models["kdigo-aki"].card
    return Source("Nephrotoxic orders", card.url, Coding("nephrotoxic-order", "urn:bedside:topic", "Nephrotoxic order"))


REASONS = (
    Coding("risk-benefit-ratio", REASON_SYSTEM, "Benefit outweighs the risk"),
    Coding("mitigate-risk-negative-outcome", REASON_SYSTEM, "Short course, with monitoring"),
    Coding("recipient-does-not-trust", REASON_SYSTEM, "Data wrong or old"),
    Coding("cds-not-applicable", REASON_SYSTEM, "Does not apply to this patient"),
)
