"""How the kidney failure service words its cards: which threshold, what to consider, what it rests on."""

from collections.abc import Iterator
from typing import Any

from cds import (
    REASON_SYSTEM,
    Action,
    Card,
    Coding,
    Guidance,
    HookCall,
    Link,
    NotScored,
    Reading,
    Risk,
    Source,
    Suggestion,
    day_text,
    in_100,
    plain,
    risk_assessment,
    table,
)  # fmt: skip
from models.kfre.albuminuria import in_both_units
from models.kfre.equation import round_half_up
from models.kfre.model import Kfre, chronic, earlier_risk, stages

NAMES = {"north-america": "North America", "elsewhere": "outside North America"}
REFERRAL = "KDIGO 2024, recommendation 2.2.1 and practice point 2.2.1"
GATES = "kidney transplant, dialysis, end-stage kidney disease, pregnancy, acute kidney injury"


def for_risk(call: HookCall, risk: Risk) -> Guidance | None:
    """The card that this risk calls for, or None for silence."""
    said = _message(call, risk)
    if said is None:
        return None
    summary, indicator, advice, refer = said
    saves = _save(call, risk)
    suggestions = (
        [] if call.settings.system_action else [Suggestion("Save this risk assessment to the chart", (saves,))]
    )
    if refer and (chronic(risk.row) or risk.row.egfr.value < 30) and not _in_care(risk):
        suggestions.append(Suggestion("Draft a nephrology referral", (_referral(call, summary),)))
    if risk.row.acr.bound:
        suggestions.append(Suggestion("Order an exact urine albumin-creatinine ratio", (_order(call, ACR_ORDER),)))
    card = Card(
        summary=summary,
        indicator=indicator,
        source=_source(call, risk.model),
        detail=_detail(call, risk, advice),
        suggestions=tuple(suggestions),
        links=LINKS,
        override_reasons=REASONS,
    )
    return Guidance((card,), (saves,) if call.settings.system_action else ())


def silence_for(risk: Risk) -> Guidance:
    """No card for a scored patient: nothing calls for action, or it is being done."""
    return Guidance(reason="kidney-care-in-place" if _in_care(risk) else "low-risk")


def for_refusal(call: HookCall, outcome: NotScored) -> Guidance | None:
    """The card that asks for what is missing, for patients whom the equation is for; None for silence."""
    row = outcome.row
    rise = outcome.reason == "creatinine-rise"
    missing = outcome.reason.startswith(("acr-", "egfr-")) and outcome.reason != "egfr-60-or-above"
    low = isinstance(row.egfr, Reading) and row.egfr.value < 60
    eligible = missing and (low or isinstance(row.ckd_diagnosis, Reading))
    if not (rise or eligible or (call.settings.show_out_of_domain and not missing)):
        return None
    if rise:
        summary = f"C{outcome.text[1:]}: repeat now; kidney failure risk not calculated."
    else:
        verb = "not calculated" if missing else "does not apply"
        summary = f"Kidney failure risk {verb}: {outcome.text}."
    order = ACR_ORDER if outcome.reason.startswith("acr-") else CREATININE_ORDER if rise or missing else None
    suggestions = (Suggestion(f"Order {order[1]}", (_order(call, order),)),) if order else ()
    card = Card(
        summary, "info", _source(call, outcome.model), _found(call, outcome), suggestions, LINKS, REASONS
    )  # fmt: skip
    return Guidance((card,))


def _message(call: HookCall, risk: Risk) -> tuple[str, Any, str, bool] | None:
    """Summary, indicator, what to consider, and whether a referral may be drafted."""
    two, five = risk.within(2).probability, risk.within(5).probability
    threshold = _settings(call, risk).referral_percent
    bound, care = risk.row.acr.bound, _in_care(risk)
    p2, p5 = (f"{bound} {_percent(p)}" if bound else _percent(p) for p in (two, five))
    if bound == "at most" and (two > 0.10 or five > threshold / 100):
        text = f"Kidney failure risk {p5} in 5 years: urine ACR is reported only as a bound. Order an exact urine ACR."
        return text, "info", "an exact urine albumin-creatinine ratio, then the risk again", risk.row.egfr.value < 30
    if two > 0.40:
        text = f"Kidney failure risk {p2} in 2 years, above 40%. Plan dialysis, transplant or conservative care with nephrology."
        advice = (
            "plan dialysis, transplant or conservative kidney management, which is a choice and not an exclusion "
            "(KDIGO 2024, practice point 2.2.3)"
        )
        return text, "info" if care else "warning", advice, True
    if two > 0.10:
        text = f"Kidney failure risk {p2} in 2 years, above 10%. Consider multidisciplinary kidney care."
        return text, "info", "multidisciplinary kidney care (KDIGO 2024, practice point 2.2.2)", True
    if five > threshold / 100:
        text = (
            f"Kidney failure risk {p5} in 5 years, above the {threshold:g}% referral threshold. "
            "Consider nephrology referral."
        )
        advice = f"refer to nephrology ({REFERRAL}: 3–5 % over 5 years; this site: {threshold:g} %)"
        return None if care else (text, "info", advice, True)
    return _below_thresholds(call, risk, p5, threshold, care)


def _below_thresholds(
    call: HookCall, risk: Risk, p5: str, threshold: float, care: bool
) -> tuple[str, Any, str, bool] | None:
    criterion = next(_criteria(risk), None)
    if criterion is not None and not care:
        text = f"{criterion}: consider nephrology referral. Kidney failure risk {p5} in 5 years."
        return text, "info", f"refer to nephrology for this reason, whatever the risk ({REFERRAL})", True
    if not call.settings.show_low_risk:
        return None
    text = f"Kidney failure risk {p5} in 5 years, below the {threshold:g}% threshold. Other reasons to refer may still apply."
    return text, "info", "other reasons to refer, which this risk does not see", False


def _criteria(risk: Risk) -> Iterator[str]:
    row = risk.row
    if row.egfr.value < 30:
        yield f"eGFR {round_half_up(row.egfr.value)} is below 30"
    if row.acr.value >= 300 and row.acr.bound != "at most":
        yield f"Urine ACR {in_both_units(row.acr.value)} is 300 mg/g or more"
    if isinstance(row.sustained_fall, Reading):
        yield f"eGFR fell from {round_half_up(row.sustained_fall.value)} to {round_half_up(row.egfr.value)} within a year"


def _in_care(risk: Risk) -> bool:
    return isinstance(risk.row.kidney_care, Reading)


def _settings(call: HookCall, outcome: Risk | NotScored) -> Any:
    return call.models[outcome.model].settings


def _detail(call: HookCall, risk: Risk, advice: str) -> str:
    two, five = risk.within(2).probability, risk.within(5).probability
    bound = f"{risk.row.acr.bound} " if risk.row.acr.bound else ""
    parts = [
        f"**5 years: {bound}{_percent(five)}** (about {in_100(five)} in 100 people like this) · "
        f"**2 years: {bound}{_percent(two)}**",
        table(("Input", "Value", "Date"), _inputs(risk)),
        f"KDIGO {stages(risk.row.egfr.value, risk.row.acr.value)}.{_was(call, risk)}",
        f"**Consider:** {advice}.",
        *_notes(call, risk),
        f"**Checked, not found:** {GATES}. Not valid in any of them.",
        f"Supports, does not replace, clinical judgement. Calculated {_moment(call)}.",
    ]
    return "\n\n".join(parts)


def _inputs(risk: Risk) -> list[tuple[str, str, str]]:
    row = risk.row
    rows = [
        ("Age, sex", f"{row.age.value}, {row.sex.value}", ""),
        (
            f"eGFR ({plain(row.egfr.method)})",
            f"{round_half_up(row.egfr.value)} mL/min/1.73 m²"
            + (f", from creatinine {plain(row.egfr.as_sent)}" if row.egfr.method == "CKD-EPI 2021" else ""),
            day_text(row.egfr.when),
        ),
        (
            f"Urine ACR ({row.acr.method})",
            f"{row.acr.bound + ' ' if row.acr.bound else ''}{in_both_units(row.acr.value)}"
            + (f", from {plain(row.acr.as_sent)}" if row.acr.method == "converted from PCR" else ""),
            day_text(row.acr.when),
        ),
    ]
    for name, unit in (("albumin", "g/dL"), ("phosphate", "mg/dL"), ("bicarbonate", "mmol/L"), ("calcium", "mg/dL")):
        answer = getattr(row, name, None)
        if isinstance(answer, Reading):
            rows.append((name.capitalize(), f"{answer.value:.4g} {unit}", day_text(answer.when)))
    for name in ("diabetes", "hypertension"):
        if hasattr(row, name):
            rows.append(
                (name.capitalize(), "recorded" if isinstance(getattr(row, name), Reading) else "not recorded", "")
            )
    return rows


def _was(call: HookCall, risk: Risk) -> str:
    model = call.models[risk.model]
    before = earlier_risk(model, risk.row) if isinstance(model, Kfre) else None
    if before is None:
        return ""
    _, egfr, _ = risk.row.earlier.value
    return f" Was {_percent(before)} in 5 years on {day_text(risk.row.earlier.when)} (eGFR {round_half_up(egfr)})."


def _notes(call: HookCall, risk: Risk) -> Iterator[str]:
    said = [*risk.cautions]
    for other in call.outcomes.values():
        if isinstance(other, NotScored) and other.model != risk.model:
            said.append(f"{other.text}; the {risk.model} equation is shown instead")
    said += [f"the model {model} failed and is not shown" for model in call.failed]
    if said:
        yield "**Please note:** " + "; ".join(map(plain, said)) + "."


def _found(call: HookCall, outcome: NotScored) -> str:
    row = outcome.row
    person = [str(answer.value) for answer in (row.age, row.sex) if isinstance(answer, Reading)]
    rows = [("Age, sex", ", ".join(person), "")] if person else []
    for name, answer, unit in (("Creatinine or eGFR", row.egfr, "mL/min/1.73 m²"), ("Urine ACR", row.acr, "mg/g")):
        if isinstance(answer, Reading):
            bound = f"{answer.bound} " if answer.bound else ""
            rows.append((name, f"{bound}{round_half_up(answer.value)} {unit}", day_text(answer.when)))
        else:
            shown = f"{plain(answer.shown)}: " if answer.shown else ""
            rows.append((name, f"{shown}{answer.why}", day_text(answer.when) if answer.when else ""))
    parts = [table(("Found", "Value", "Date"), rows), f"Nothing was estimated. Looked at {_moment(call)}."]
    if outcome.cautions:
        parts.insert(1, "**Please note:** " + "; ".join(map(plain, outcome.cautions)) + ".")
    return "\n\n".join(parts)


def _percent(probability: float) -> str:
    percent = probability * 100
    return "<0.1%" if percent < 0.05 else ">99.9%" if percent >= 99.95 else f"{percent:.1f}%"


def _moment(call: HookCall) -> str:
    return f"{day_text(call.at)} {call.at:%H:%M} UTC"


def _source(call: HookCall, model_id: str) -> Source:
    model = call.models[model_id]
    variables = model_id.removeprefix("kfre-")
    topic = model.card.topic
    return Source(
        f"{model.card.short_name} ({variables}-variable, {NAMES[model.settings.region]})",
        model.card.url,
        Coding(topic["code"], topic["system"], topic["display"]),
    )


def _save(call: HookCall, risk: Risk) -> Action:
    title = call.models[risk.model].card.name
    assessment = risk_assessment(
        risk,
        title=title,
        patient_id=call.patient_id,
        encounter_id=call.encounter_id,
        identifier=call.id_of("assessment"),
    )
    return Action("create", "Save the kidney failure risk as a RiskAssessment", assessment)


def _referral(call: HookCall, summary: str) -> Action:
    resource = _request(call, {"text": "Referral to nephrology"}, "referral")
    resource["reasonCode"] = [{"text": summary}]
    return Action("create", "Create a draft referral to nephrology", resource)


ACR_ORDER = ("9318-7", "a urine albumin-creatinine ratio")
CREATININE_ORDER = ("2160-0", "a serum creatinine")


def _order(call: HookCall, order: tuple[str, str]) -> Action:
    code = {
        "coding": [{"system": "http://loinc.org", "code": order[0]}],
        "text": order[1].split(" ", 1)[1].capitalize(),
    }
    return Action("create", f"Create a draft order for {order[1]}", _request(call, code, f"order-{order[0]}"))


def _request(call: HookCall, code: dict[str, Any], name: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": "urn:bedside:service-request", "value": call.id_of(name)}],
        "status": "draft",
        "intent": "proposal",
        "code": code,
        "subject": {"reference": f"Patient/{call.patient_id}"},
    }
    if call.encounter_id:
        request["encounter"] = {"reference": f"Encounter/{call.encounter_id}"}
    user = call.call.context.user_id or ""
    if user.startswith(("Practitioner/", "PractitionerRole/")):
        request["requester"] = {"reference": user}
    return request


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
