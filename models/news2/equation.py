"""The points of NEWS2, as the Royal College of Physicians published them in 2017."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from models._points.items import Item, up_to

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


def rate_item(rate: float) -> Item:
    return Item(RATE, f"{whole(rate):g} /min", rate_points(whole(rate)))


def saturation_item(saturation: float, scale: Scale, *, oxygen: bool) -> Item:
    points = saturation_points(whole(saturation), scale, oxygen=oxygen)
    return Item(f"{SATURATION} (scale {scale})", f"{whole(saturation):g} %", points)


def oxygen_item(*, oxygen: bool) -> Item:
    return Item(OXYGEN, "yes" if oxygen else "room air", 2 if oxygen else 0)


def pressure_item(systolic: float) -> Item:
    return Item(PRESSURE, f"{whole(systolic):g} mmHg", pressure_points(whole(systolic)))


def pulse_item(pulse: float) -> Item:
    return Item(PULSE, f"{whole(pulse):g} /min", pulse_points(whole(pulse)))


def level_item(level: str, *, alert: bool) -> Item:
    return Item(LEVEL, level, 0 if alert else 3)


def temperature_item(celsius: float) -> Item:
    return Item(TEMPERATURE, f"{tenth(celsius):.1f} °C", temperature_points(tenth(celsius)))
