"""A model's card in the order in which a clinician asks: what it tells, for whom, how sure, and what nobody checked."""

from collections.abc import Iterator

from cds.risk.model import RiskModel
from cds.risk.model_card import Threshold
from cds.web.smart.views import About


def about(model: RiskModel) -> About:
    card = model.card
    return About(card.name, model.id, card.version, tuple(_parts(model)), card.unverified, card.url)


def _parts(model: RiskModel) -> Iterator[tuple[str, tuple[str, ...]]]:
    card = model.card
    yield "Outcome", (card.what,)
    yield "Intended use", (card.intended_use,)
    yield "Intended users", (card.intended_users,)
    yield "Population", (card.population,)
    yield "Inputs", tuple(f"{name}: {text}" for name, text in card.inputs.items())
    yield "This site's settings", tuple(f"{name.replace('_', ' ')}: {value}" for name, value in _settings(model))
    yield (
        "Thresholds",
        tuple(f"{_cut(t)}: {t.action} ({t.source})" for t in model.thresholds),
    )
    yield "Constants", tuple(f"{name}: {text}" for name, text in card.constants.items())
    yield "Checked", card.checked
    yield "Source attributes", tuple(f"{number}. {text}" for number, text in sorted(card.source_attributes.items()))
    yield "Published in", card.citation
    yield "Licence", (card.licence,)


def _cut(threshold: Threshold) -> str:
    """A cut-point as "5% within 5 years" or "MELD 3.0 15 or more"."""
    years = f"within {threshold.horizon_years:g} years" if threshold.horizon_years is not None else ""
    return " ".join(part for part in (threshold.outcome, threshold.words, years) if part)


def _settings(model: RiskModel) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in model.recorded_settings.items() if value is not None)
