"""The generator of the batch's benchmark: same bytes for a seed, the share ordered, valid FHIR, whole references."""

import importlib
import json
import re
from collections import Counter
from datetime import UTC, datetime, time
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench import population
from bench.batch_duckdb import reduce
from bench.batch_peers import codes
from bench.population import Export, Order, generate, kept
from bench.population_copies import FOLDER, multiply
from cds import Estimate, NotScored, Risk
from cds.batch.gather import gather
from cds.fhir.chart import Chart
from cds.risk.scoring import score
from tests.charts import model, site

ORDER = Order(patients=240, wanted=0.25)
WHOLE = ("Patient", "Encounter", "Condition", "Procedure")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return generate(tmp_path_factory.mktemp("export"), ORDER)


def resources(export: Export) -> list[dict[str, Any]]:
    return [json.loads(line) for file in export.files() for line in file.read_bytes().splitlines()]


def references(value: object) -> set[str]:
    return set(re.findall(r'"reference": "([^"]+)"', json.dumps(value)))


def test_the_same_order_gives_the_same_bytes(export: Export, tmp_path: Path) -> None:
    again = generate(tmp_path, ORDER)
    written = {file.name: file.read_bytes() for file in export.files()}
    assert {file.name: file.read_bytes() for file in again.files()} == written
    assert sum(map(len, written.values())) == export.size


def test_another_seed_gives_other_patients(export: Export, tmp_path: Path) -> None:
    other = generate(tmp_path, Order(patients=1, seed=2))
    assert not {one["id"] for one in resources(other) if one["resourceType"] == "Patient"} & {
        one["id"] for one in resources(export)
    }


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_share_of_wanted_lines_is_the_one_ordered(share: float, tmp_path: Path) -> None:
    export = generate(tmp_path, Order(size=3_000_000, wanted=share))
    lines = [line for file in export.files() for line in file.read_bytes().splitlines()]
    asked = [f'"code":"{code}"'.encode() for code in codes()]
    wanted = sum(
        line.startswith(tuple(f'{{"resourceType":"{kind}"'.encode() for kind in WHOLE))
        or any(code in line for code in asked)
        for line in lines
    )
    assert (len(lines), wanted) == (export.lines, export.wanted)
    assert wanted / len(lines) == pytest.approx(share, abs=0.01)
    assert 3_000_000 <= sum(file.stat().st_size for file in export.files()) == export.size < 3_200_000


def test_lines_are_as_long_as_hospitals_send_them(export: Export) -> None:
    assert 900 <= export.size / export.lines <= 1400


def test_a_sample_is_valid_r4(export: Export) -> None:
    seen = Counter[str]()
    for one in islice(resources(export), 0, None, 7):
        kind = one["resourceType"]
        module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
        assert getattr(module, kind).model_validate(one).get_resource_type() == kind
        seen[kind] += 1
    assert set(WHOLE) | {"Observation"} <= set(seen)


def test_every_reference_resolves_and_every_id_is_given_once(export: Export) -> None:
    every = resources(export)
    named = Counter(f"{one['resourceType']}/{one['id']}" for one in every)
    assert set(named.values()) == {1}
    assert references(every) <= set(named)


def test_ages_and_fates_are_those_of_a_hospital(export: Export) -> None:
    patients = [one for one in resources(export) if one["resourceType"] == "Patient"]
    born = [int(one["birthDate"][:4]) for one in patients]
    assert len(patients) == 240
    assert 1930 <= min(born) < 1950
    assert 1990 < max(born) <= 2006
    assert {one["gender"] for one in patients} == {"female", "male"}
    assert 1 <= sum("deceasedDateTime" in one for one in patients) <= 15


def test_a_third_have_a_chronic_kidney_disease_diagnosed(export: Export) -> None:
    diagnoses = [one for one in resources(export) if one["resourceType"] == "Condition"]
    chronic = {one["subject"]["reference"] for one in diagnoses if "Chronic kidney" in json.dumps(one["code"])}
    assert 0.28 <= len(chronic) / 240 <= 0.38


def test_nothing_is_dated_after_the_day_of_scoring(export: Export) -> None:
    days = re.findall(r"20\d\d-\d\d-\d\d", json.dumps(resources(export)))
    assert max(days) <= population.AT.isoformat()


def outcomes(export: Export) -> dict[str, Risk | NotScored]:
    """Everybody's outcome by the one door, at the end of the generator's day."""
    at = datetime.combine(population.AT, time.max, UTC)
    charts = gather([export.folder]).charts(site().vocabulary)
    return {patient: next(score(model(), (chart,), at)) for patient, chart in charts if isinstance(chart, Chart)}


def test_nearly_half_are_scored_and_the_others_refused_for_plausible_reasons(export: Export) -> None:
    found = outcomes(export)
    reasons = Counter(one.reason for one in found.values() if isinstance(one, NotScored))
    assert len(found) == 240
    assert 0.35 <= sum(isinstance(one, Risk) for one in found.values()) / 240 <= 0.55
    assert reasons.most_common(1)[0][0] == "egfr-60-or-above"
    assert set(reasons) <= {"egfr-60-or-above", "acr-never-recorded", "dialysis", "kidney-transplant", "deceased"}


def test_the_peer_in_sql_scores_the_same_patients_alike(export: Export, tmp_path: Path) -> None:
    ours = {patient: one for patient, one in outcomes(export).items() if isinstance(one, Risk)}
    out = tmp_path / "scores.parquet"
    assert reduce(export.folder, population.AT.isoformat(), out) == len(ours)
    rows = duckdb.read_parquet(str(out)).project("patient, two_years, five_years").fetchall()
    assert {patient for patient, _, _ in rows} == set(ours)
    for patient, two, five in rows:
        assert [one.probability for one in ours[patient].estimates if isinstance(one, Estimate)] == pytest.approx(
            [two, five], abs=1e-9
        )


def test_an_export_is_made_once_for_an_order_and_anew_for_another(tmp_path: Path) -> None:
    folder, made = tmp_path / "export", list[Order]()

    def make(order: Order) -> Export:
        def into(place: Path) -> Export:
            made.append(order)
            return generate(place, order)

        return kept(folder, {"patients": order.patients}, 10_000, into)

    first, again, other = make(Order(patients=3)), make(Order(patients=3)), make(Order(patients=2))
    assert first == again
    assert [order.patients for order in made] == [3, 2]
    assert other.patients == 2
    assert sum(file.stat().st_size for file in other.files()) == other.size


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make room, or name another folder with --data"):
        kept(tmp_path / "export", {}, 10**18, lambda into: generate(into, Order(patients=1)))
    assert list(tmp_path.iterdir()) == []


def test_copies_of_published_data_are_patients_of_their_own(shared_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("Patient", "Encounter", "Condition"):
        text = shared_data / FOLDER / f"{name}.000.ndjson"
        (source / text.name).write_bytes(text.read_bytes())
    once = sum(file.stat().st_size for file in source.iterdir())
    export = multiply(source, tmp_path, 2 * once)
    every = resources(export)
    named = Counter(f"{one['resourceType']}/{one['id']}" for one in every)
    held = tuple(f"{name}/" for name in ("Patient", "Encounter", "Condition"))
    assert set(named.values()) == {1}
    assert {one for one in references(every) if one.startswith(held)} <= set(named)
    assert (export.patients, export.lines, export.wanted) == (198, len(every), len(every))
