"""A model's card in the order in which a clinician asks: what it tells, for whom, how sure, and what nobody checked."""

from collections.abc import Iterator

from cds.risk.model import RiskModel
from cds.web.smart.views import About


def about(model: RiskModel) -> About:
    card = model.card
    return About(card.name, model.id, card.version, tuple(_parts(model)), card.unverified, card.url)


def _parts(model: RiskModel) -> Iterator[tuple[str, tuple[str, ...]]]:
    card = model.card
    years = " and ".join(f"{h:g}" for h in card.horizons_years)
    yield "Outcome", (f"{card.outcome}, within {years} years",)
    yield "Intended use", (card.intended_use,)
    yield "Intended users", (card.intended_users,)
    yield "Population", (card.population,)
    yield "Inputs", tuple(f"{name}: {text}" for name, text in card.inputs.items())
    yield "This site's settings", tuple(f"{name.replace('_', ' ')}: {value}" for name, value in _settings(model))
    yield (
        "Thresholds",
        tuple(f"{t.percent:g}% within {t.horizon_years:g} years: {t.action} ({t.source})" for t in model.thresholds),
    )
    yield "Constants", tuple(f"{name}: {text}" for name, text in card.constants.items())
    yield "Checked", card.checked
    yield "Source attributes", tuple(f"{number}. {text}" for number, text in sorted(card.source_attributes.items()))
    yield "Published in", card.citation
    yield "Licence", (card.licence,)


def _settings(model: RiskModel) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in model.recorded_settings.items() if value is not None)
