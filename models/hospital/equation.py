"""The points of the HOSPITAL score, with the bands of admissions of its 2016 international validation."""

from models._points.items import Item, up_to


def hemoglobin_item(value: float) -> Item:
    """At discharge, in g/dL."""
    return Item("Hemoglobin below 12 g/dL", f"{value:g} g/dL", int(value < 12))


def oncology_item(*, oncology: bool) -> Item:
    return Item("Discharge from an oncology service", _word(oncology), 2 if oncology else 0)


def sodium_item(value: float) -> Item:
    """At discharge, in mmol/L."""
    return Item("Sodium below 135 mmol/L", f"{value:g} mmol/L", int(value < 135))


def procedure_item(*, done: bool) -> Item:
    return Item("Coded procedure in the stay", _word(done), int(done))


def urgent_item(*, urgent: bool) -> Item:
    return Item("Urgent admission", _word(urgent), int(urgent))


def admissions_item(count: int) -> Item:
    """UNVERIFIED bands: 0 and 1, 2 to 5, more than 5; those of 2013 were 0, 1 to 5, more than 5."""
    return Item("Admissions in 12 months", f"{count}", up_to(count, ((1, 0), (5, 2)), 5))


def stay_item(days: int) -> Item:
    return Item("Stay of 5 days or more", f"{days} days", 2 if days >= 5 else 0)


def _word(yes: bool) -> str:
    return "yes" if yes else "no"
