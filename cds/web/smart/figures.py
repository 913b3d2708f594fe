"""The numbers of a page: probabilities by horizon, scores with their classes, and the thresholds beside each."""

from collections.abc import Sequence

from msgspec import structs

from cds.cdshooks.answer import Deployed
from cds.risk.assessment import in_100, people, percent, shown_number
from cds.risk.estimate import Estimate, Risk, Score
from cds.risk.model import RiskModel
from cds.risk.model_card import Threshold
from cds.web.smart import views


def numbers(risk: Risk, model: RiskModel) -> tuple[views.Number, ...]:
    """Each horizon's number, the longest first."""
    first, found = risk.estimates[0].outcome, [e for e in risk.estimates if isinstance(e, Estimate)]
    ordered = sorted(found, key=lambda estimate: -estimate.horizon_years)
    return tuple(_number(estimate, model) for estimate in ordered if estimate.outcome == first)


def _number(estimate: Estimate, model: RiskModel) -> views.Number:
    marks = (t for t in model.thresholds if t.percent is not None and t.about(estimate))
    return views.Number(
        years=f"{estimate.horizon_years:g}",
        percent=percent(estimate.probability, estimate.bound),
        people=people(estimate.probability, estimate.bound),
        bound=estimate.bound or "",
        probability=estimate.probability,
        figures=in_100(estimate.probability, estimate.bound),
        marks=tuple(views.Mark(t.percent or 0, t.action, t.source, t.told(estimate)) for t in marks),
    )


def scores(risk: Risk, model: RiskModel, *, proposes: bool) -> tuple[views.ScoreView, ...]:
    """Each score with its class and thresholds, and each probability of a further outcome in its order."""
    first = risk.estimates[0].outcome
    further = (n for n in risk.estimates if isinstance(n, Score) or n.outcome != first)
    return tuple(_score(number, model, proposes) for number in further)


def _mark(threshold: Threshold, told: views.Told, proposes: bool) -> views.ScoreMark:
    """What a cut-point calls for stands only where something is proposed, and where it may be reached."""
    action = threshold.action if proposes and told != "not above" else ""
    return views.ScoreMark(threshold.words, action, threshold.source, told)


def _score(number: Score | Estimate, model: RiskModel, proposes: bool) -> views.ScoreView:
    marks = (t for t in model.thresholds if t.about(number))
    return views.ScoreView(
        number.outcome if isinstance(number, Score) else f"{number.outcome}, {number.horizon_years:g} years",
        shown_number(number),
        number.band if isinstance(number, Score) else "",
        tuple(_mark(t, t.told(number), proposes) for t in marks),
    )


def unproposed(number: views.Number) -> views.Number:
    """The number where the service proposes nothing: its thresholds stand without what they call for."""
    return structs.replace(number, marks=tuple(structs.replace(m, action="", source="") for m in number.marks))


def all_scores(deployed: Deployed, risks: Sequence[Risk], *, proposes: bool) -> tuple[views.ScoreView, ...]:
    """The scores of the model that the page is about, and beside them those of the others."""
    return tuple(one for risk in risks for one in scores(risk, deployed.models[risk.model], proposes=proposes))
