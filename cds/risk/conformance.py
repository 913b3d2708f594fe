"""What any risk model must do, as checks that a new model is held to without a test of its own."""

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random

from pydantic import ValidationError

from cds.errors import BedsideError, ModelFailed
from cds.features.feature import Missing
from cds.features.needs import template
from cds.features.predictors import Predictors
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read
from cds.risk.estimate import Estimate, NotScored, Number, Risk
from cds.risk.model import Reference, RiskModel, Slot
from cds.risk.model_card import ModelCard
from cds.risk.scoring import score_row
from cds.risk.snapshot import estimates, read_snapshot, replay, snapshot

Check = Callable[[RiskModel], list[str]]
_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def complaints(model: RiskModel) -> list[str]:
    """Everything that is wrong with a model: "check: what"; empty when it conforms."""
    said: list[str] = []
    try:
        list(_references(model))
    except ModelFailed as error:  # nearly every check draws on its rows: once is enough
        return [f"reference_rows: {error.message}{_where(error)}"]
    for check in CHECKS:
        try:
            said += [f"{check.__name__}: {complaint}" for complaint in check(model)]
        except BedsideError as error:
            said.append(f"{check.__name__}: raises {type(error).__name__}: {error.message}{_where(error)}")
    return said


def deterministic(model: RiskModel) -> list[str]:
    """The same row gives the same outcome, to the last bit."""
    return [
        f"two scores of {name} differ: {first} and {second}"
        for name, row in _rows(model)
        if (first := _told(model, row)) != (second := _told(model, row))
    ]


def row_independent(model: RiskModel) -> list[str]:
    """A row's outcome does not depend on the rows scored before it."""
    rows = dict(_rows(model))
    alone = {name: _told(model, row) for name, row in rows.items()}
    said = []
    for seed in range(3):
        names = Random(seed).sample(sorted(rows), len(rows))  # noqa: S311 - an order, not a secret
        among = {name: _told(model, rows[name]) for name in names}
        said += [f"{name} differs in another order" for name in names if among[name] != alone[name]]
    return said


def reference_rows(model: RiskModel) -> list[str]:
    """Every line of the reference file for this model comes out as it should, under the line's own settings."""
    try:
        found = list(_references(model))
    except ModelFailed as error:
        return [f"{error.message}{_where(error)}"]
    if not found:
        return [f"{model.reference} has no row for {model.id}"]
    return [said for line, reference in found for said in _unlike(model, line, reference)]


def card_complete(model: RiskModel) -> list[str]:
    """The card is valid; outcome and horizons are what `predict` gives; every declared input is in the row."""
    try:
        card = ModelCard.model_validate(model.card.model_dump())
    except (ValidationError, AttributeError) as error:
        return [f"the card is not valid: {type(error).__name__}"]
    said = [f"the card's input {name} is no feature of the row" for name in card.inputs if name not in _features(model)]
    for name, risk in _risks(model):
        found = [(number.outcome, number.horizon_years) for number in risk.estimates]
        if found != [slot for slot in card.slots if slot in found]:
            said.append(f"{name} has other outcomes or horizons than the card, or another order")
    return said


def domain_honoured(model: RiskModel) -> list[str]:
    """An empty chart, and a row with every feature missing, are NotScored with a reason and a text, never an error."""
    said = []
    for name, row in (("an empty chart", _empty_chart), ("a row of nothing", _nothing)):
        try:
            answer = score_row(model, row(model))
        except Exception as error:  # noqa: BLE001 - features are a stranger's code too, and the complaint names what came
            said.append(f"{name} raises {type(error).__name__}{_where(error)}")
            continue
        if isinstance(answer, Risk):
            said.append(f"{name} is scored")
        elif not (re.fullmatch(r"[a-z0-9-]+", answer.reason) and answer.text.strip()):
            said.append(f"{name} is not scored, but no reason is given")
    return said


def replays(model: RiskModel) -> list[str]:
    """A recorded outcome comes out of its snapshot again to the last bit, scored or not."""
    said = []
    for name, row in _rows(model):
        outcome = score_row(model, row)
        again = read_snapshot(snapshot(outcome, model.settings.model_dump()))
        reason = outcome.reason if isinstance(outcome, NotScored) else None
        if (difference := replay(again, model, estimates(outcome), reason)) is not None:
            said.append(f"{name} was {difference.recorded} and replays as {difference.replayed}")
    return said


def explains(model: RiskModel) -> list[str]:
    """A scored row's inputs and terms can be told, and its what-ifs answer at both ends of every range."""
    said = []
    for name, risk in _risks(model):
        try:
            said += [f"{name}: {complaint}" for complaint in _untold(model, risk)]
        except Exception as error:  # noqa: BLE001 - as in domain_honoured
            said.append(f"{name} cannot be explained: {type(error).__name__}")
    return said


def _untold(model: RiskModel, risk: Risk) -> Iterator[str]:
    if not model.inputs(risk.row):
        yield "rests on no input"
    told = model.explanation(risk.row)
    horizons = {e.horizon_years for e in risk.estimates if isinstance(e, Estimate)}
    if told is not None and not horizons >= set(told.risks) >= (horizons & {max(horizons, default=None)}):
        yield "is explained at other horizons than it is estimated"
    if told is not None and horizons and not told.reference:
        yield "is explained against nobody"
    for knob in model.knobs(risk.row):
        if not knob.low <= knob.value <= knob.high:
            yield f"the what-if of {knob.name} does not begin within its range"
        for value in (knob.low, knob.high):
            score_row(model, model.with_changes(risk.row, **{knob.name: value}))


def prefetch_plain(model: RiskModel) -> list[str]:
    """The prefetch templates that follow from the predictors hold no date and only the patient's token."""
    vocabulary = Vocabulary(model.predictors.code_sets())
    found = {need.key: template(need, vocabulary) for need in model.predictors.needs()}
    said = [f"the template of {key} asks by date" for key, text in found.items() if _DATED.search(text)]
    tokens = {key: set(_TOKEN.findall(text)) - {"context.patientId"} for key, text in found.items()}
    return said + [f"the template of {key} holds {', '.join(sorted(other))}" for key, other in tokens.items() if other]


_DATED = re.compile(r"[?&](?:date|onset-date|recorded-date|_lastUpdated)=|[=|](?:eq|ge|gt|le|lt)?\d{4}-\d\d-\d\d")
_TOKEN = re.compile(r"\{\{\s*(.*?)\s*\}\}")

CHECKS: tuple[Check, ...] = (
    deterministic,
    row_independent,
    reference_rows,
    card_complete,
    domain_honoured,
    replays,
    explains,
    prefetch_plain,
)


def _rows(model: RiskModel) -> Iterator[tuple[str, Predictors]]:
    """Rows to try a model with: its reference rows, each of them with one answer taken away, and nothing at all."""
    for line, reference in _references(model):
        yield f"reference line {line}", reference.row
    first = next((reference.row for _, reference in _references(model)), model.predictors.given(_AT))
    for name in _features(model):
        answers = {**first.answers(), name: Missing("never recorded")}
        yield f"reference without {name}", model.predictors.given(first.at, **answers)


def _risks(model: RiskModel) -> Iterator[tuple[str, Risk]]:
    for name, row in _rows(model):
        if isinstance(outcome := score_row(model, row), Risk):
            yield name, outcome


def _references(model: RiskModel) -> Iterator[tuple[int, Reference]]:
    """Each line of the reference file that is for this model. Raises ModelFailed that names the line at fault."""
    try:
        lines = (model.folder / model.reference).open(encoding="utf-8")
    except OSError as error:
        raise ModelFailed(f"{model.reference} cannot be read: {type(error).__name__}", model.id) from None
    with lines:
        rows = csv.DictReader(lines)
        try:
            for values in rows:
                if (reference := model.reference_row(values)) is not None:
                    yield rows.line_num, reference
        except Exception as error:  # noqa: BLE001 - the reader of a line is a stranger's code, as in domain_honoured
            raise ModelFailed(f"{model.reference} line {rows.line_num} cannot be read", model.id, error) from None


def _where(error: Exception) -> str:
    """The kind, file and line of what broke a model; no more, for the cause's text may hold a value."""
    return f" ({error.where})" if isinstance(error, ModelFailed) and error.where else ""


def _unlike(model: RiskModel, line: int, reference: Reference) -> Iterator[str]:
    own = model.settings_type.model_validate({**model.settings.model_dump(), **reference.settings})
    outcome = score_row(type(model).build(model.folder, own), reference.row)
    if isinstance(outcome, NotScored):
        yield f"line {line} is not scored: {outcome.text}"
        return
    found = {(number.outcome, number.horizon_years): _value(number) for number in outcome.estimates}
    first = outcome.estimates[0].outcome
    for slot, expected in reference.expected.items():
        key = slot if isinstance(slot, tuple) else (first, slot)
        if key not in found:
            yield f"line {line} has no number for {_slot(key)}"
        elif not abs(found[key] - expected) <= reference.tolerance:
            yield f"line {line} gives {found[key]!r} for {_slot(key)} instead of {expected!r}"


def _value(number: Number) -> float:
    return number.probability if isinstance(number, Estimate) else number.value


def _slot(slot: Slot) -> str:
    outcome, years = slot
    return outcome if years is None else f"{outcome} within {years:g} years"


def _told(model: RiskModel, row: Predictors) -> str:
    """An outcome with every bit of it."""
    outcome = score_row(model, row)
    what = outcome.reason if isinstance(outcome, NotScored) else estimates(outcome)
    return f"{what!r} {outcome.cautions!r}"


def _features(model: RiskModel) -> tuple[str, ...]:
    return tuple(model.predictors.features())


def _empty_chart(model: RiskModel) -> Predictors:
    nobody = read(b'{"resourceType": "Patient", "id": "nobody"}')
    chart = Chart.of([(nobody, None)], Identity("nobody"), Vocabulary(model.predictors.code_sets()))
    return model.predictors.read(chart, _AT)


def _nothing(model: RiskModel) -> Predictors:
    return model.predictors.given(_AT)
