"""Every model of the catalogue scores every patient of the published data sets, or refuses with a reason: counted.

`python -m tests.agreement.test_catalogue` writes the counts anew; a line that changes is a rule that changed.
"""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

from cds import NotScored
from cds.errors import DataUnavailable
from cds.risk.scoring import score
from cds.settings import read_settings
from cds.site import Site, load_site
from tests.agreement.datasets import records
from tests.agreement.test_real_data import EXPECTED, FIXED, instants

COUNTS = Path(__file__).with_name("catalogue.csv")
LAST = "last-encounter"
Counted = dict[tuple[str, str, str, str], int]
"""How many patients, by data set, instant, model and what became of them."""


@cache
def catalogue() -> Site:
    """Every model, the comparator too."""
    tables = {"kfre": {"region": "north-america"}, "pce_2013": {"comparator": True}}
    return load_site(settings=read_settings(models=tables))


def counted(folder: Path, rules: Path) -> Counted:
    """What becomes of every patient of a data set, on one day for all and at the end of the last encounter."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for one in records(folder):
        chart = one.chart(catalogue().vocabulary)
        days = [("fixed", datetime.fromisoformat(FIXED)), *((LAST, at) for at in instants(one.plain(), LAST, rules))]
        for name, at in days:
            for model in catalogue().models.values():
                try:
                    [outcome] = score(model, [chart], at)
                except DataUnavailable:
                    told = "unreadable"
                else:
                    told = outcome.reason if isinstance(outcome, NotScored) else "scored"
                found[folder.name, name, model.id, told] += 1
    return dict(found)


def expected(name: str) -> Counted:
    with COUNTS.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["data"] == name]
    return {(row["data"], row["at"], row["model"], row["told"]): int(row["patients"]) for row in rows}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_model_scores_or_refuses_every_patient(name: str, shared_data: Path) -> None:
    assert counted(shared_data / "data" / name, shared_data) == expected(name)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_patient_is_lost_between_models(name: str) -> None:
    """Each model answers as often as every other."""
    answers: Counter[tuple[str, str]] = Counter()
    for (_, at, model, _), patients in expected(name).items():
        answers[at, model] += patients
    for at in ("fixed", LAST):
        assert len({n for (when, _), n in answers.items() if when == at}) <= 1
    assert {model for _, model in answers} == set(catalogue().models)


def _lines(shared: Path) -> Iterator[tuple[object, ...]]:
    for name in sorted(EXPECTED):
        yield from ((*key, n) for key, n in sorted(counted(shared / "data" / name, shared).items()))


if __name__ == "__main__":
    with COUNTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["data", "at", "model", "told", "patients"])
        writer.writerows(_lines(Path(sys.argv[1])))
