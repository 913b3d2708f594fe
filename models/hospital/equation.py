"""The points of the HOSPITAL score, with the bands of admissions of its 2016 international validation."""

from cds import up_to

ONCOLOGY, PROCEDURE, URGENT = 2, 1, 1


def hemoglobin_points(value: float) -> int:
    """At discharge, in g/dL."""
    return int(value < 12)


def sodium_points(value: float) -> int:
    """At discharge, in mmol/L."""
    return int(value < 135)


def admissions_points(count: int) -> int:
    """UNVERIFIED bands: 0 and 1, 2 to 5, more than 5; those of 2013 were 0, 1 to 5, more than 5."""
    return up_to(count, ((1, 0), (5, 2)), 5)


def stay_points(days: int) -> int:
    return 2 if days >= 5 else 0
