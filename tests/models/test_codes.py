"""codes.csv says what the page of gates says: nothing lost, nothing invented (D11)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds.fhir.codes import normal
from models._kidney.codes import CODES

Code = tuple[str, str, str]
"""Set, system and code as hospitals may spell it."""
WHERE: dict[tuple[str, str], str] = {
    ("dialysis", "loinc"): "dialysis_labs",
    **{
        ("dialysis", kind): "dialysis_procedure"
        for kind in ("cpt", "hcpcs", "icd10pcs", "icd9proc", "snomed_procedures")
    },
    ("dialysis", "*"): "dialysis_status",
    ("ckd_diagnosis", "*"): "ckd_stage_3_to_5",
    ("hospice_or_palliative", "*"): "palliative_care",
}
SYSTEMS = {"snomed_conditions": "snomed", "snomed_procedures": "snomed"}
LISTS = ("icd10cm", "icd10who", "icd9cm", "icd9proc", "icd10pcs", "cpt", "hcpcs", "snomed", "loinc", *SYSTEMS)


def on_the_page(gates: dict[str, Any]) -> Iterator[Code]:
    for gate, members in gates.items():
        for kind in LISTS:
            name = WHERE.get((gate, kind)) or WHERE.get((gate, "*")) or gate
            for code, display in members.get(kind, {}).items():
                if isinstance(display, dict):  # pregnancy and delivery, under ICD-10-CM
                    part = "delivery" if code == "delivery_puerperium" else gate
                    yield from ((part, kind, normal(SYSTEMS.get(kind, kind), str(one))) for one in display)
                else:
                    yield name, SYSTEMS.get(kind, kind), normal(SYSTEMS.get(kind, kind), str(code))


@pytest.fixture
def page(shared_data: Path) -> dict[str, Any]:
    gates: dict[str, Any] = yaml.safe_load((shared_data / "models" / "gates.yaml").read_text(encoding="utf-8"))
    return gates


def test_nothing_is_lost_and_nothing_is_invented(page: dict[str, Any]) -> None:
    ours = {
        (name, entry.system, normal(entry.system, entry.code))
        for name, codes in CODES.items()
        for entry in codes.entries
        if name not in ("diabetes", "hypertension", "kidney_care") and entry.match != "except"
    }
    theirs = set(on_the_page(page["gates"]))
    outcome_of_delivery = ("pregnancy", "icd10who", "Z37")
    assert theirs - ours == {outcome_of_delivery}  # here a delivery: it counts for 84 days
    extra = {("delivery", "icd10who", "Z37"), ("aki", "hcpcs", "G0491"), ("aki", "hcpcs", "G0492")}
    extra |= {("pregnancy_status", "loinc", "82810-3"), ("delivery_date_estimated", "loinc", "11778-8")}
    assert ours - theirs == extra


def test_what_is_no_gate_is_in_no_gate(page: dict[str, Any]) -> None:
    """What the page lists for reading (`not_this_gate`, `unverified`) is matched by no code set of its gate."""
    for gate, members in page["gates"].items():
        names = {WHERE.get((gate, kind)) or WHERE.get((gate, "*")) or gate for kind in ("*", *LISTS)}
        for kind, listed in (*members.get("not_this_gate", {}).items(), *members.get("unverified", {}).items()):
            codes = listed if isinstance(listed, dict) and kind in LISTS else ()
            matched = [
                (name, code) for code in codes for name in names & set(CODES) if CODES[name].holds(kind, str(code))
            ]
            assert not matched


def test_an_excepted_prefix_is_a_delivery() -> None:
    excepted = {entry.code for entry in CODES["pregnancy"].entries if entry.match == "except"}
    assert excepted == {entry.code for entry in CODES["delivery"].entries if entry.system == "icd10cm"}
