"""Which card a kidney failure risk calls for, and in which words."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from cds import (
    REASON_SYSTEM,
    SUMMARY_LIMIT,
    Action,
    Card,
    Coding,
    Guidance,
    HookCall,
    Link,
    Missing,
    NotScored,
    Reading,
    Risk,
    Source,
    Suggestion,
    percent,
)
from hooks._kidney_detail import Scored, above, for_no_score, for_score, notes, row_of, scored
from hooks._kidney_orders import ACR_ORDER, CREATININE_ORDER, order, referral, save
from models._kidney.albuminuria import CONVERTED, in_both_units
from models._kidney.equation import round_half_up
from models._kidney.gates import VISIT
from models.kfre.model import KfreSettings, chronic

REFERRAL = "KDIGO 2024, recommendation 2.2.1 and practice point 2.2.1"


class Message(Struct, frozen=True):
    """A card's sentence, what to consider, and whether a referral may be drafted."""

    summary: str
    advice: str
    refer: bool
    indicator: Literal["info", "warning"] = "info"


def for_risk(call: HookCall, risk: Risk) -> Guidance | None:
    """The card that this risk calls for, or None for silence."""
    message = _message(call, risk, scored(risk))
    if message is None:
        return None
    saved = save(call, risk)
    card = Card(
        summary=message.summary,
        indicator=message.indicator,
        source=source_of(call, risk.model),
        detail=for_score(call, risk, message.advice),
        suggestions=tuple(_suggestions(call, risk, message, saved)),
        links=LINKS,
        override_reasons=REASONS,
        advice=message.advice,
        notes=notes(call, risk),
    )
    return Guidance((card,), (saved,) if call.settings.system_action else ())


def silence_for(risk: Risk) -> Guidance:
    """No card for a scored patient: nothing calls for action, or it is being done."""
    care = row_of(risk).kidney_care
    if isinstance(care, Missing):
        return Guidance(reason="low-risk", text="Nothing in this risk calls for action.")
    since = f" ({care.date})" if care.when else ""
    text = f"Kidney care is already recorded{since}: nothing more is proposed."
    return Guidance(reason="kidney-care-in-place", text=text)


def for_refusal(call: HookCall, outcome: NotScored) -> Guidance | None:
    """The card that asks for what is missing, for patients whom the equation is for; None for silence."""
    rise, missing = outcome.reason == "creatinine-rise", _lacks(outcome)
    if not (rise or eligible(outcome) or (call.settings.show_out_of_domain and not missing)):
        return None
    summary = not_scored(outcome)
    test = ACR_ORDER if outcome.reason.startswith("acr-") else CREATININE_ORDER if rise or missing else None
    suggestions = (order(call, f"Order {test[1]}", test),) if test else ()
    source = source_of(call, outcome.model)
    detail, said = for_no_score(call, outcome), tuple(outcome.cautions)
    return Guidance((Card(summary, "info", source, detail, suggestions, LINKS, REASONS, notes=said),))


def _lacks(outcome: NotScored) -> bool:
    return outcome.reason.startswith(("acr-", "egfr-")) and outcome.reason != "egfr-60-or-above"


def eligible(outcome: NotScored) -> bool:
    """Whether the equation is for this patient, and only eGFR or urine albumin is lacking (D13)."""
    row = row_of(outcome)
    low = isinstance(row.egfr, Reading) and row.egfr.value < 60
    return _lacks(outcome) and (low or isinstance(row.ckd_diagnosis, Reading))


def not_scored(outcome: NotScored) -> str:
    """Why there is no risk: not for such a patient, or not from what is known of her."""
    if outcome.reason == "creatinine-rise":
        return fitting(f"C{outcome.text[1:]}: repeat now; kidney failure risk not calculated.")
    row = row_of(outcome)
    unknown = {"sex": True, "age": isinstance(row.age, Missing), "egfr-60-or-above": False}
    missing = unknown.get(outcome.reason, outcome.reason.startswith(("acr-", "egfr-", "variant-")))
    return fitting(f"Kidney failure risk {'not calculated' if missing else 'does not apply'}: {outcome.text}.")


def fitting(*ways: str) -> str:
    """The first way of saying it that a card's summary can hold; what none can is cut where everybody sees it."""
    return next((way for way in ways if len(way) < SUMMARY_LIMIT), f"{ways[-1][: SUMMARY_LIMIT - 2]}…")


def _suggestions(call: HookCall, risk: Risk, message: Message, saved: Action) -> Iterator[Suggestion]:
    said = scored(risk)
    if not call.settings.system_action:
        yield Suggestion("Save this risk assessment to the chart", (saved,))
    if message.refer and (chronic(said.row) or said.egfr.value < 30) and not _in_care(risk):
        yield referral(call, message.summary)
    if said.bound:
        yield order(call, "Order an exact urine albumin-creatinine ratio", ACR_ORDER)


def _message(call: HookCall, risk: Risk, said: Scored) -> Message | None:
    in_two, in_five = risk.within(2), risk.within(5)
    two, five = in_two.probability, in_five.probability
    threshold, care = threshold_of(call, risk), _in_care(risk)
    start = "Kidney failure risk"
    p5 = f"{said.bound}{percent(five, in_five.bound)}"
    if said.acr.bound == "at most" and (two > 0.10 or five > threshold / 100):
        summary = f"{start} {p5} in 5 years: urine ACR is reported only as a bound. Order an exact urine ACR."
        return Message(summary, "an exact urine albumin-creatinine ratio, then the risk again", said.egfr.value < 30)
    if two > 0.40:
        over = f"{start} {said.bound}{above(in_two, 40)} in 2 years, above 40%."
        indicator: Literal["info", "warning"] = "info" if _seen(risk) else "warning"
        return Message(
            f"{over} Plan dialysis, transplant or conservative care with nephrology.", PREPARE, True, indicator
        )
    if two > 0.10:
        over = f"{start} {said.bound}{above(in_two, 10)} in 2 years, above 10%."
        return Message(f"{over} Consider multidisciplinary kidney care.", MULTIDISCIPLINARY, refer=True)
    if five > threshold / 100 and not care:
        p5 = f"{said.bound}{above(in_five, threshold)}"
        over = f"{start} {p5} in 5 years, above the {threshold:g}% referral threshold."
        advice = f"refer to nephrology ({REFERRAL}: 3 to 5% over 5 years; this site: {threshold:g}%)"
        return Message(f"{over} Consider nephrology referral.", advice, refer=True)
    return None if five > threshold / 100 else _below_thresholds(call, risk, said, p5)


MULTIDISCIPLINARY = "multidisciplinary kidney care (KDIGO 2024, practice point 2.2.2)"
PREPARE = (
    "plan dialysis, transplant or conservative kidney management, which is a choice and not an exclusion "
    "(KDIGO 2024, practice point 2.2.3)"
)


def _below_thresholds(call: HookCall, risk: Risk, said: Scored, p5: str) -> Message | None:
    criterion = next(_criteria(said), None)
    if criterion is not None and not _in_care(risk):
        then = f"consider nephrology referral. Kidney failure risk {p5} in 5 years."
        return Message(
            fitting(*(f"{way}: {then}" for way in criterion)),
            "refer to nephrology for this reason, whatever the risk",
            refer=True,
        )
    if not call.settings.show_low_risk:
        return None
    below = f"below the {threshold_of(call, risk):g}% threshold. Other reasons to refer may still apply."
    advice = "other reasons to refer, which this risk does not see"
    return Message(f"Kidney failure risk {p5} in 5 years, {below}", advice, refer=False)


def _criteria(said: Scored) -> Iterator[tuple[str, ...]]:
    """Reasons to refer whatever the risk, each in as many ways as there are, the longest first."""
    now, fall = round_half_up(said.egfr.value), said.row.sustained_fall
    if said.egfr.value < 30:
        yield (f"eGFR {now if now < 30 else _just_below_30(said.egfr.value)} is below 30",)
    if said.acr.value >= 300 and said.acr.bound != "at most":
        name = "Urine ACR from PCR" if said.acr.method == CONVERTED else "Urine ACR"
        both, one = in_both_units(said.acr.value), f"{round_half_up(said.acr.value)} mg/g"
        yield f"{name} {both} is 300 mg/g or more", f"{name} {one} is 300 or more"
    if isinstance(fall, Reading):
        yield (f"eGFR fell from {round_half_up(fall.value)} to {now} within a year",)


def _just_below_30(egfr: float) -> str:
    """29.6, or 29.9 for 29.97: never a 30 that is said to be below 30."""
    return f"{min(round(egfr, 1), 29.9):.1f}"


def _in_care(risk: Risk) -> bool:
    return isinstance(row_of(risk).kidney_care, Reading)


def _seen(risk: Risk) -> bool:
    """By nephrology within 180 days, or soon: only that makes a high risk no warning (preparation alone does not)."""
    care = row_of(risk).kidney_care
    return isinstance(care, Reading) and care.method == VISIT


def _settings(call: HookCall, model: str) -> KfreSettings:
    settings = call.models[model].settings
    if not isinstance(settings, KfreSettings):
        raise TypeError("the kidney service runs the kidney failure equations only")
    return settings


def threshold_of(call: HookCall, risk: Risk) -> float:
    return _settings(call, risk.model).referral_percent


def source_of(call: HookCall, model_id: str) -> Source:
    card, topic = call.models[model_id].card, call.models[model_id].card.topic
    return Source(call.models[model_id].title, card.url, Coding(topic["code"], topic["system"], topic["display"]))


PALLIATIVE = (
    "Palliative care is recorded: nothing is proposed. The equation does not count death before kidney failure."
)
LINKS = (
    Link(
        "KDIGO 2024 guideline on chronic kidney disease", "https://kdigo.org/guidelines/ckd-evaluation-and-management/"
    ),
)
REASONS = (
    Coding("action-completed", REASON_SYSTEM, "Already under nephrology"),
    Coding("action-not-priority", REASON_SYSTEM, "Already discussed, or not a priority now"),
    Coding("does-not-align-preferences", REASON_SYSTEM, "Does not fit the goals of care"),
    Coding("recipient-does-not-trust", REASON_SYSTEM, "Data wrong or old"),
    Coding("cds-not-applicable", REASON_SYSTEM, "Does not apply to this patient"),
)
