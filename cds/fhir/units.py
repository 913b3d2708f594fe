"""The closed unit table: a laboratory's spelling becomes an analyte's own unit here, in one place, or is refused."""

import csv
from functools import cache
from importlib.resources import files

from msgspec import Struct


class Conversion(Struct, frozen=True):
    """value * factor + offset is the value in the analyte's own unit; `unit` is the spelling's plain name."""

    unit: str
    factor: float
    offset: float


class Analyte(Struct, frozen=True):
    """What is measured: its own unit, the spellings it accepts, what is plausible and what is refused (own unit).

    `unit_of` holds the codes whose results are read in one unit only (plain name; "" for in none), whatever the
    table accepts for other codes of the analyte.
    """

    name: str
    unit: str
    spellings: dict[str, Conversion]
    plausible: tuple[float, float]
    accepted: tuple[float, float]
    unit_of: dict[str, str] = {}

    def conversion(self, unit: str | None, code: str | None) -> Conversion | None:
        """The conversion on which `unit` and `code` agree; None when one is unknown or they differ.

        Where both are absent, the analyte must be one that is written without a unit, as the INR is.
        """
        if unit == code and code is not None:  # as most laboratories send it
            return self.spellings.get(code) or self.spellings.get(code.strip())
        by_unit = self.spellings.get(unit.strip()) if unit else None
        by_code = self.spellings.get(code.strip()) if code else None
        if (unit and by_unit is None) or (code and by_code is None):
            return None
        if by_unit and by_code and by_unit != by_code:
            return None
        return by_code or by_unit or self.spellings.get("")

    def contradicts(self, code: str | None, conversion: Conversion) -> bool:
        """Whether results of this code are never in that unit."""
        return self.unit_of.get(code or "", conversion.unit) != conversion.unit


@cache
def analytes() -> dict[str, Analyte]:
    """Every analyte of the table by name, read once from the CSV files beside this module."""
    folder = files("cds.fhir") / "vocabulary"
    spellings: dict[str, dict[str, Conversion]] = {}
    with (folder / "units.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            conversion = Conversion(row["unit"], float(row["factor"]), float(row["offset"]))
            spellings.setdefault(row["analyte"], {})[row["spelling"]] = conversion
    unit_of: dict[str, dict[str, str]] = {}
    with (folder / "code_units.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            unit_of.setdefault(row["analyte"], {})[row["code"]] = row["unit"]
    with (folder / "analytes.csv").open(encoding="utf-8") as lines:
        return {
            row["analyte"]: Analyte(
                name=row["analyte"],
                unit=row["unit"],
                spellings=spellings[row["analyte"]],
                plausible=(float(row["plausible_low"]), float(row["plausible_high"])),
                accepted=(float(row["reject_low"]), float(row["reject_high"])),
                unit_of=unit_of.get(row["analyte"], {}),
            )
            for row in csv.DictReader(lines)
        }
