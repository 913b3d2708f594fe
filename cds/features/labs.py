"""The laboratory series that several models share, each with its codes, its unit table and its search."""

from importlib.resources import files

from cds.features.feature import Need
from cds.features.results import Series
from cds.fhir.codes import CodeSet, read_code_sets
from cds.fhir.units import analytes

LAB_CODES: dict[str, CodeSet] = read_code_sets(files("cds.fhir") / "vocabulary" / "labs.csv")


def lab_series(
    analyte: str, *code_sets: str, key: str | None = None, count: int = 100, required: bool = True
) -> Series:
    """Results of `analyte` from the named code sets (default: the one of the same name), as one prefetch key.

    A page of 100 is a series whose every page is read; a page of 10 is for the newest result.
    """
    codes = tuple(LAB_CODES[name] for name in code_sets or (analyte,))
    need = Need(key or analyte, "Observation", codes, count, series=count >= 100, required=required)
    return Series(analytes()[analyte], *codes, need=need)
