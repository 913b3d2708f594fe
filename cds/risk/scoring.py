"""The one door for scoring: whoever scores, scores here."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from cds.errors import BedsideError, ModelFailed
from cds.features.predictors import Predictors
from cds.fhir.chart import Chart
from cds.risk.estimate import NotScored, Number, Outcome, Risk, Score
from cds.risk.model import RiskModel


def score(model: RiskModel, charts: Iterable[Chart], at: datetime) -> Iterator[Outcome]:
    """One outcome a chart, in order; no row depends on another.

    Raises DataUnavailable when a required need could not be read, ModelFailed when the model breaks.
    """
    for chart in charts:
        with _strangers(model):
            row = model.predictors.read(chart, at)
        yield score_row(model, row)


def score_row(model: RiskModel, row: Predictors) -> Outcome:
    """Score a row that was read before: the door's second half, where replay enters."""
    with _strangers(model):
        refusal = model.refuse(row)
        cautions = tuple(dict.fromkeys((*model.cautions(row), *row.doubts())))
        if refusal is not None:
            return NotScored(model.id, model.version, row.at, row, refusal.reason, refusal.text, cautions)
        estimates = tuple(model.predict(row))
        _guard(model, estimates)
    return Risk(model.id, model.version, row.at, row, estimates, cautions)


@contextmanager
def _strangers(model: RiskModel) -> Iterator[None]:
    """A model and its features are a stranger's code: whatever they raise becomes one error of ours."""
    try:
        yield
    except BedsideError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        # The cause's text may hold a patient's value, so only its kind is passed on.
        raise ModelFailed(f"{model.id} failed with {type(error).__name__}", model.id, error) from None


def _guard(model: RiskModel, numbers: tuple[Number, ...]) -> None:
    """No number leaves that is not a probability, or that is no number."""
    if not numbers:
        raise ModelFailed(f"{model.id} gave no estimate", model.id)
    for number in numbers:
        if isinstance(number, Score):
            if not math.isfinite(number.value):
                raise ModelFailed(f"{model.id} gave a score that is no number", model.id)
        elif not (math.isfinite(number.probability) and 0.0 <= number.probability <= 1.0):
            raise ModelFailed(f"{model.id} gave a number that is no probability", model.id)
