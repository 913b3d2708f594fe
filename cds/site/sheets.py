"""The fact sheet of every model that a site knows, also of those that it has not set up."""

from cds.risk.fact_sheet import FactSheet, fact_sheet
from cds.risk.model_card import read_card
from cds.site.site import Site, folder_of


def fact_sheets(site: Site) -> dict[str, FactSheet]:
    """By id, in the site's order: with this site's thresholds where the model is ready, else with the card's own."""
    sheets = {}
    for cls in site.known_models:
        model = site.models.get(cls.id)
        card = model.card if model else read_card(folder_of(cls) / "card.yaml", **cls.card_of_variant)
        sheets[cls.id] = fact_sheet(cls, card, model)
    return sheets
