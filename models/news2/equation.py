"""The points of NEWS2, as the Royal College of Physicians published them in 2017."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from cds import ALERT, Item, Missing, Reading, measured_item, up_to

Scale = Literal[1, 2]
RATE, SATURATION, OXYGEN, PRESSURE = "Respiratory rate", "Oxygen saturation", "Supplemental oxygen", "Systolic pressure"
PULSE, LEVEL, TEMPERATURE = "Heart rate", "Consciousness", "Temperature"


def whole(value: float) -> float:
    """To an integer, halves up."""
    return _rounded(value, "1")


def tenth(value: float) -> float:
    """To one decimal, halves up: 38.05 is 38.1, although in binary it is a little less."""
    return _rounded(value, "0.1")


def _rounded(value: float, step: str) -> float:
    return float(Decimal(repr(round(value, 6))).quantize(Decimal(step), ROUND_HALF_UP))


def rate_points(rate: float) -> int:
    return up_to(rate, ((8, 3), (11, 1), (20, 0), (24, 2)), 3)


def saturation_points(saturation: float, scale: Scale, *, oxygen: bool) -> int:
    """Scale 2 is for a prescribed target of 88 to 92 %: there too much oxygen gives points, and room air none."""
    if scale == 1:
        return up_to(saturation, ((91, 3), (93, 2), (95, 1)), 0)
    if saturation <= 92 or not oxygen:
        return up_to(saturation, ((83, 3), (85, 2), (87, 1)), 0)
    return up_to(saturation, ((94, 1), (96, 2)), 3)


def pressure_points(systolic: float) -> int:
    return up_to(systolic, ((90, 3), (100, 2), (110, 1), (219, 0)), 3)


def pulse_points(pulse: float) -> int:
    return up_to(pulse, ((40, 3), (50, 1), (90, 0), (110, 1), (130, 2)), 3)


def temperature_points(celsius: float) -> int:
    return up_to(celsius, ((35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1)), 2)


Measured = Reading[float] | Missing


def rate_item(rate: Measured) -> Item:
    return measured_item(RATE, rate, lambda value: rate_points(whole(value)), _whole("/min"))


def saturation_item(saturation: Measured, scale: Scale, *, oxygen: bool) -> Item:
    def points(value: float) -> int:
        return saturation_points(whole(value), scale, oxygen=oxygen)

    return measured_item(f"{SATURATION} (scale {scale})", saturation, points, _whole("%"))


def oxygen_item(oxygen: Reading[bool] | Missing) -> Item:
    return measured_item(OXYGEN, oxygen, lambda given: 2 * given, lambda given: "yes" if given else "room air")


def pressure_item(systolic: Measured) -> Item:
    return measured_item(PRESSURE, systolic, lambda value: pressure_points(whole(value)), _whole("mmHg"))


def pulse_item(pulse: Measured) -> Item:
    return measured_item(PULSE, pulse, lambda value: pulse_points(whole(value)), _whole("/min"))


def level_item(level: Reading[str] | Missing) -> Item:
    return measured_item(LEVEL, level, lambda value: 0 if value == ALERT else 3)


def temperature_item(celsius: Measured) -> Item:
    return measured_item(
        TEMPERATURE, celsius, lambda value: temperature_points(tenth(value)), lambda value: f"{tenth(value):.1f} °C"
    )


def _whole(unit: str) -> Callable[[float], str]:
    return lambda value: f"{whole(value):g} {unit}"
