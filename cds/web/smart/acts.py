"""What a reader does on a page: ask what if, save to the chart, say whether it helped."""

import math
import re
from collections.abc import Sequence

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from cds.errors import DataUnavailable, LedgerUnavailable, MalformedRequest, WriteRefused
from cds.features.feature import spell
from cds.ledger import FeedbackRecord
from cds.risk.estimate import NotScored, Risk
from cds.risk.explanation import Knob, OutOfRange
from cds.risk.scoring import score_row
from cds.web.smart import saving, views
from cds.web.smart.figures import numbers
from cds.web.smart.pages import Made, Pages, problem
from cds.web.smart.showing import outcomes_of
from cds.web.smart.visiting import Kind, Outcome, Visit

PAGE_FEEDBACK = "urn:bedside:page-feedback"
"""The system of "helpful" and "not-helpful": what is said of a page must not be counted as a card's acceptance."""
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Acts:
    """The forms of a service's page. Each answers with the whole page, looked at afresh."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.saver = saving.Saver()

    async def what_if(self, request: Request, visit: Visit) -> Response:
        """The same door with other numbers, beside the real ones; recorded as what it is, and never as a score."""

        async def asked(made: Made) -> views.Page:
            answer = _supposed(made)
            await self._note("what-if", made, "refused" if answer.refused else "success")
            told = tuple(
                structs.replace(knob, value=value) if (value := visit.form.get(knob.name)) else knob
                for knob in made.view.knobs
            )
            return structs.replace(made.view, what_if=answer, knobs=told)

        return await self.pages.shown(request, visit, asked, "smart-what-if")

    async def save(self, request: Request, visit: Visit) -> Response:
        """Save what is shown, when it is still what the reader saw.

        The intent is recorded before the EHR is asked; what became of it is told even when it cannot be recorded.
        """
        told: list[str] = []

        async def saved(made: Made) -> views.Page:
            done: list[saving.Saved] = []
            notice, outcome = await self._save(made, done)
            told.append(notice)
            counted = len(done) > 1 or outcome == "failed"
            confirmed = {"confirmed": str(sum(not one.again for one in done))} if counted else {}
            await self._note("save", made, outcome, step="done", **confirmed)
            return structs.replace(made.view, notice=notice, failed_notice=outcome != "success")

        try:
            return await self.pages.shown(request, visit, saved)
        except LedgerUnavailable as error:
            if not told:
                raise
            return problem(request, visit, error, told[0])

    async def feedback(self, request: Request, visit: Visit) -> Response:
        """Keep whether the page helped, under the id of the page that the reader saw."""

        async def kept(made: Made) -> views.Page:
            record = _feedback(made)
            if self.pages.state.ledger is not None:
                await self.pages.state.ledger.feedback([record])
            self.pages.state.metrics.feedback(record.service, record.outcome)
            return structs.replace(made.view, notice="Thank you. Your answer has been recorded.")

        return await self.pages.shown(request, visit, kept)

    async def _save(self, made: Made, saved: list[saving.Saved]) -> tuple[str, Outcome]:
        """What to tell of it; `saved` is what came of each, as far as it went."""
        session, scope = made.visit.session, made.access.scope
        assessments = saving.assessments_of(made.said, made.deployed, session)
        if not saving.may_save(scope):
            return "Not saved: this launch has no right to save to the chart.", "refused"
        if not assessments or made.visit.form.get("assessment") != saving.identifiers(assessments):
            return "Not saved: the chart has changed since this page was made. Look at the new result first.", "refused"
        await self._note("save", made, "success", step="asked")
        try:
            for assessment in assessments:
                async with self.pages.client(session, made.deployed, made.access) as client:  # each has its own time
                    saved.append(await self.saver.save(client, assessment, session.patient_id, scope))
        except WriteRefused as error:
            return _so_far(saved, assessments, f"Not saved: {error.message}."), "failed"
        except DataUnavailable as error:
            unsure = f"Not certain to be saved: {error.message}. Look in the chart before you try again."
            return _so_far(saved, assessments, unsure), "failed"
        return _what_became_of(saved)

    async def _note(self, kind: Kind, made: Made, outcome: Outcome, **more: str) -> None:
        detail = {"service": made.deployed.service.id, **more}
        await self.pages.note(kind, made.visit.session, made.said.at, outcome, detail)


def _so_far(saved: Sequence[saving.Saved], asked: Sequence[object], told: str) -> str:
    """What became of the first that failed, after what went well before it."""
    there = sum(not each.retracted for each in saved)
    if not there:
        return told
    return f"{there} of {len(asked)} scores {'is' if there == 1 else 'are'} in the chart. The next: {told}"


def _what_became_of(saved: Sequence[saving.Saved]) -> tuple[str, Outcome]:
    one = len(saved) == 1
    if retracted := sum(each.retracted for each in saved):
        if one:
            return "Not saved: this risk was saved before and marked in the chart as entered in error.", "refused"
        rest = "The others are in the chart." if retracted < len(saved) else ""
        told = f"{retracted} of {len(saved)} scores not saved: saved before and marked as entered in error. {rest}"
        return told.rstrip(), "refused"
    if all(each.again for each in saved):
        return f"{'This risk is' if one else 'These scores are'} in the chart already.", "success"
    return "Saved to the chart.", "success"


def _supposed(made: Made) -> views.WhatIf:
    outcome = outcomes_of(made.said)[0] if made.said.outcomes else None
    if not isinstance(outcome, Risk):
        return views.WhatIf(refused="There is no risk to compare with.")
    model = made.deployed.models[outcome.model]
    knobs = model.knobs(outcome.row)
    try:
        asked = {k.name: _number(made.visit.form[k.name], k.label) for k in knobs if made.visit.form.get(k.name)}
        if all(asked.get(k.name, k.value) == k.value for k in knobs):
            return views.WhatIf(refused="Change a number first: these are the patient's own.")
        # A number that is only a bound stays one as long as nobody changed it; any other is used as it was sent.
        asked = {k.name: asked[k.name] for k in knobs if k.name in asked and not (k.bound and asked[k.name] == k.value)}
        supposed = score_row(model, model.with_changes(outcome.row, **asked))
    except OutOfRange as error:
        return views.WhatIf(refused=f"Not calculated. {error}")
    used = tuple(_used(knob, asked.get(knob.name)) for knob in knobs)
    if isinstance(supposed, NotScored):
        return views.WhatIf(used, refused=f"Not calculated: {supposed.text}.")
    return views.WhatIf(used, numbers(supposed, model))


def _used(knob: Knob, asked: float | None) -> str:
    if asked is not None:
        return f"{knob.label} {spell(asked)} {knob.unit}"
    bound = f"{knob.bound} " if knob.bound else ""
    return f"{knob.label} {bound}{spell(round(knob.exact, 4))} {knob.unit} (the patient's own)"


def _number(text: str, label: str) -> float:
    try:
        number = float(text) if len(text) <= 20 else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise OutOfRange(f"{label} is not a number.")
    return number


def _feedback(made: Made) -> FeedbackRecord:
    """Raises MalformedRequest for what the page's form cannot have sent."""
    form = made.visit.form
    card, verdict, code = form.get("card", ""), form.get("verdict", ""), form.get("reason", "")
    if not _UUID.fullmatch(card) or verdict not in ("helpful", "not-helpful"):
        raise MalformedRequest("the form is not this page's")
    reason = next((r for r in made.view.reasons if r.code == code), None) if verdict == "not-helpful" else None
    return FeedbackRecord(
        tenant=made.deployed.tenant,
        service=made.deployed.service.id,
        card=card,
        outcome="accepted" if verdict == "helpful" else "overridden",
        outcome_timestamp=made.said.at,
        suggestions=(),
        reason_code=reason.code if reason else verdict,
        reason_system=reason.system if reason else PAGE_FEEDBACK,
        reason_display=reason.label if reason else None,
        comment=None,
        received_at=made.said.at,
    )
