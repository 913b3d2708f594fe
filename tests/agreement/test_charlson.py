"""The Charlson groups of every ICD code, beside those of an independent package (pycomorb, Quan et al. 2005)."""

from collections.abc import Iterable, Mapping
from itertools import product
from string import ascii_uppercase, digits
from typing import Literal

import polars as pl
import pytest
from pycomorb import CharlsonComorbidityIndex

from cds.features.charlson import CHARLSON_CODES

THEIRS = {
    "Myocardial infarction": "myocardial_infarction",
    "Congestive heart failure": "heart_failure",
    "Peripheral vascular disease": "peripheral_vascular",
    "Cerebrovascular disease": "cerebrovascular",
    "Dementia": "dementia",
    "Chronic pulmonary disease": "copd",
    "Rheumatic disease": "connective_tissue",
    "Mild liver disease": "mild_liver",
    "Diabetes without chronic complication": "diabetes_uncomplicated",
    "Diabetes with chronic complication": "diabetes_complicated",
    "Renal disease": "renal",
    "Any malignancy, including lymphoma and leukemia, except malignant neoplasm of skin": "tumour",
    "Moderate or severe liver disease": "severe_liver",
    "Metastatic solid tumor": "metastatic",
    "AIDS/HIV": "aids",
}
"""Hemiplegia and peptic ulcer are no groups of LACE."""
RENAL = {"mild_renal": "renal", "severe_renal": "renal"}
"""One group there and two here, since LACE weighs them apart."""


def icd10() -> Iterable[str]:
    stems = ("".join(letters) for letters in product(ascii_uppercase, digits, digits))
    return (code for stem in stems for code in (stem, *(f"{stem}.{digit}" for digit in digits)))


def icd9() -> Iterable[str]:
    stems = (*(f"{number:03}" for number in range(1000)), *(f"V{number:02}" for number in range(92)))
    tails = ("", *(f".{a}{b}" for a in digits for b in ("", *digits)))
    return (stem + tail for stem in stems for tail in tails)


def theirs(codes: Iterable[str], version: Literal["icd9", "icd10"]) -> Mapping[str, frozenset[str]]:
    asked = list(codes)
    sent = pl.DataFrame({"id": asked, "code": [code.replace(".", "") for code in asked], "age": [40] * len(asked)})
    told = CharlsonComorbidityIndex(sent, icd_version=version, return_categories=True)
    return {row["id"]: frozenset(ours for name, ours in THEIRS.items() if row[name]) for row in told.to_dicts()}


def ours(system: str, code: str) -> frozenset[str]:
    held = (group for group, codes in CHARLSON_CODES.items() if codes.holds(system, code))
    return frozenset(RENAL.get(group, group) for group in held)


def unexplained(system: str, found: Mapping[str, frozenset[str]]) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Where the two differ, but for what is meant.

    LACE weighs COPD, of which Quan's chronic pulmonary disease (asthma, pneumoconiosis ...) is much more; and a
    transient global amnesia, G45.4, is no cerebrovascular disease here, as it is no stroke elsewhere.
    """
    both = {code: (ours(system, code), groups) for code, groups in found.items()}
    apart = {code: (mine, other) for code, (mine, other) in both.items() if mine != other}
    return {code: pair for code, pair in apart.items() if pair[1] != pair[0] | {"copd"} and code != "G45.4"}


def test_copd_itself_is_one() -> None:
    assert [ours("icd10cm", code) for code in ("J41.0", "J43.9", "J44.1")] == [{"copd"}] * 3
    assert [ours("icd9cm", code) for code in ("491.21", "492.8", "496")] == [{"copd"}] * 3
    assert not ours("icd10cm", "J45.9")


@pytest.mark.parametrize("system", ["icd10cm", "icd10who"])
def test_each_of_28600_icd_10_codes_is_in_the_same_groups(system: str) -> None:
    found = theirs(icd10(), "icd10")
    assert (len(found), sum(map(bool, found.values()))) == (28_600, 1673)
    assert unexplained(system, found) == {}


def test_each_of_121212_icd_9_codes_is_in_the_same_groups() -> None:
    found = theirs(icd9(), "icd9")
    assert (len(found), sum(map(bool, found.values()))) == (121_212, 12_613)
    assert unexplained("icd9cm", found) == {}
