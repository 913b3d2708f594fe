"""A run over what changed since the last one: who changed is scored anew, and what was deleted is taken back (B14)."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds.batch.kept import shard_of
from cds.errors import ExportUnreadable, RequestError
from cds.site import recipe
from tests.batch import runs
from tests.batch.runs import Json, by_patient, creatinine, lines, patient, uacr, whole
from tests.cli.command import bedside

LATER = datetime(2026, 12, 22, 12, tzinfo=UTC)
NEXT_YEAR = datetime(2027, 5, 22, 12, tzinfo=UTC)
LAST = datetime(2028, 11, 22, 12, tzinfo=UTC)


class Series:
    """Runs of one site, each on what changed since the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    @property
    def out(self) -> Path:
        return self._folder / f"run-{self._count}"

    def run(self, *changed: Json | str, deleted: tuple[str, ...] = (), at: datetime = runs.AT, **how: Any) -> Json:
        """Score what changed, which may be nothing."""
        prior = self.out if self._count else None
        self._count += 1
        export = self._folder / f"export-{self._count}"
        runs.write(export / "All.ndjson", changed)
        if deleted:
            runs.write(export / "deleted" / "Bundle.ndjson", [deletions(*deleted)])
        report = runs.run(export, out=self.out, prior=prior, at=at, **how)
        for name in ("RiskAssessment.ndjson", "retracted.ndjson"):
            for line in lines(self.out / name):
                RiskAssessment.model_validate(line)
        ids = Counter(one["id"] for name in ("RiskAssessment.ndjson", "retracted.ndjson") for one in self._lines(name))
        assert set(ids.values()) <= {1}, "no assessment comes twice, nor both anew and taken back"
        return report

    def _lines(self, name: str) -> list[Json]:
        return lines(self.out / name)

    @property
    def new(self) -> list[Json]:
        return self._lines("RiskAssessment.ndjson")

    @property
    def retracted(self) -> list[Json]:
        return self._lines("retracted.ndjson")

    def id_of(self, name: str) -> str | None:
        """The RiskAssessment that holds a patient's number."""
        found: str | None = by_patient(self.out)[name]["assessment"]
        return found

    def row(self, name: str) -> Json:
        return by_patient(self.out)[name]


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Series(tmp_path)


def deletions(*references: str) -> Json:
    entries = [{"request": {"method": "DELETE", "url": reference}} for reference in references]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def subjects(assessments: list[Json]) -> list[str]:
    return [one["subject"]["reference"] for one in assessments]


def test_nothing_changed_and_nothing_is_written_again(series: Series) -> None:
    series.run(*whole("a"), *whole("b", 3.0))
    ids = {name: series.id_of(name) for name in "ab"}
    assert sorted(one["id"] for one in series.new) == sorted(map(str, ids.values()))
    for at in (runs.AT, runs.AT, LATER):
        report = series.run(at=at)
        assert report["patients"] == report["outcomes"]["kfre-4"]["scored"] == 2
        assert (series.new, series.retracted) == ([], [])
        assert {name: series.id_of(name) for name in "ab"} == ids


def test_a_new_result_is_a_new_assessment_and_the_older_one_stays(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    before, other = series.row("a"), series.id_of("b")
    series.run(creatinine("a-c2", "Patient/a", 2.2, "2026-12-01T08:00:00Z"), at=LATER)
    (new,) = series.new
    assert new["id"] == series.id_of("a") != before["assessment"]
    assert {"reference": "Observation/a-c2"} in new["basis"]
    assert series.row("a")["probability"] > before["probability"]
    assert series.retracted == []
    assert series.id_of("b") == other


def test_an_age_that_changes_the_number_is_a_new_assessment(series: Series) -> None:
    series.run(*whole("young"), {**patient("old"), "birthDate": "1940-12-01"}, *whole("old")[1:])
    ids = {name: series.id_of(name) for name in ("young", "old")}
    series.run(at=LATER)
    assert subjects(series.new) == ["Patient/old"]
    assert series.id_of("young") == ids["young"]
    assert series.id_of("old") != ids["old"]
    assert series.retracted == []


def test_a_look_back_that_ends_is_no_score_and_takes_nothing_back(series: Series) -> None:
    series.run(*whole("a"))
    report = series.run(at=LAST)
    assert (series.new, series.retracted) == ([], [])
    assert (series.row("a")["outcome"], series.row("a")["assessment"]) == ("not-scored", None)
    assert sum(report["outcomes"]["kfre-4"]["not_scored"].values()) == 1


@pytest.mark.parametrize("meta", [{}, {"meta": {"lastUpdated": "2026-11-10T08:00:00Z"}}])
@pytest.mark.parametrize("at", [runs.AT, LATER])
def test_a_corrected_result_stands_in_place_of_the_first(series: Series, meta: Json, at: datetime) -> None:
    first = {"meta": {"lastUpdated": "2026-11-02T09:00:00Z"}} if meta else {}
    people = [one | first for one in whole("a")]
    series.run(*people)
    series.run(creatinine("a-c1", "Patient/a", 2.3, status="corrected", **meta), at=at)
    corrected = series.row("a")["probability"]
    series.run(at=at)
    assert series.new == []
    assert series.row("a")["probability"] == corrected
    alone = Series(series.out.parent / "alone")
    alone.run(*whole("a")[:2], creatinine("a-c1", "Patient/a", 2.3, status="corrected"), whole("a")[3], at=at)
    assert alone.row("a")["probability"] == corrected


@pytest.mark.proves("B14", "deleted and entered in error: the RiskAssessments that rest on it come entered-in-error")
@pytest.mark.parametrize("how", ["deleted", "entered-in-error"])
@pytest.mark.parametrize("at", [runs.AT, LATER])
def test_b14_what_no_longer_holds_takes_its_assessments_back(series: Series, how: str, at: datetime) -> None:
    series.run(*whole("a"), *whole("b"))
    (first,) = (one for one in series.new if one["subject"]["reference"] == "Patient/a")
    if how == "deleted":
        series.run(deleted=("Observation/a-u1",), at=at)
    else:
        series.run(uacr("a-u1", "Patient/a", status="entered-in-error"), at=at)
    assert series.retracted == [{**first, "status": "entered-in-error"}]
    assert series.new == []
    assert series.row("a")["outcome"] == "not-scored"
    assert series.row("b")["outcome"] == "risk"
    series.run(at=at)
    assert (series.new, series.retracted) == ([], []), "it is taken back once"


def test_b14_an_answer_that_rests_on_an_older_result_takes_the_place(series: Series) -> None:
    series.run(*whole("a"), uacr("a-u0", "Patient/a", 50, "2026-09-01T08:00:00Z"))
    (first,) = series.new
    series.run(deleted=("Observation/a-u1",))
    (second,) = series.new
    assert {"reference": "Observation/a-u0"} in second["basis"]
    assert second["id"] == first["id"], "of one patient, one model and one instant there is one assessment"
    assert series.retracted == [], "what is written anew under its id needs no taking back"
    series.run(deleted=("Observation/a-u0",), at=LATER)
    assert [one["id"] for one in series.retracted] == [second["id"]]


def test_b14_every_assessment_that_rests_on_it_is_taken_back(series: Series) -> None:
    series.run(*whole("a"))
    ids = [series.id_of("a")]
    for number, at in ((2, LATER), (3, datetime(2026, 12, 30, tzinfo=UTC))):
        series.run(creatinine(f"a-c{number}", "Patient/a", 1.9 + number / 10, at.isoformat()), at=at)
        ids.append(series.id_of("a"))
    assert len(set(ids)) == 3
    series.run(deleted=("Observation/a-u1",), at=NEXT_YEAR)
    assert [one["id"] for one in series.retracted] == ids


@pytest.mark.proves("B14", "a deleted Patient: all of the patient's RiskAssessments taken back, and nobody scored")
def test_b14_a_deleted_patient_is_gone(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    series.run(creatinine("a-c2", "Patient/a", 2.2, "2026-12-01T08:00:00Z"), at=LATER)
    series.run(deleted=("Patient/a",), at=LATER)
    assert subjects(series.retracted) == ["Patient/a", "Patient/a"]
    assert {one["status"] for one in series.retracted} == {"entered-in-error"}
    assert set(by_patient(series.out)) == {"b"}
    report = series.run(at=LATER)
    assert (series.new, series.retracted, report["patients"]) == ([], [], 1)
    series.run(patient("a"), at=LATER)
    assert series.new == []
    assert by_patient(series.out)["a"]["reason"] == "unavailable", "who comes back comes without what was deleted"
    series.run(creatinine("a-c9", "Patient/a", 2.2, "2026-12-01T08:00:00Z"), at=LATER)
    assert "was deleted and came back" in by_patient(series.out)["a"]["text"]


@pytest.mark.parametrize("gone", ["Observation/nobody", "Encounter/a-c1", "Observation/a-c", "Practitioner/1"])
def test_b14_a_deletion_of_what_never_mattered_changes_nothing(series: Series, gone: str) -> None:
    series.run(*whole("a"))
    before = by_patient(series.out)
    series.run(deleted=(gone, f"https://ehr.example/fhir/{gone}"))
    assert (series.new, series.retracted) == ([], [])
    assert by_patient(series.out) == before


def test_three_runs_in_a_row_remember_the_first(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    first = series.id_of("a")
    series.run(*whole("c"), at=LATER)
    assert subjects(series.new) == ["Patient/c"]
    series.run(creatinine("a-c3", "Patient/a", 2.2, "2026-12-20T08:00:00Z"), at=LATER)
    assert subjects(series.new) == ["Patient/a"]
    assert {"reference": "Observation/a-u1"} in series.new[0]["basis"], "of the first run"
    assert {one: series.row(one)["outcome"] for one in "abc"} == dict.fromkeys("abc", "risk")
    assert series.id_of("a") != first


@pytest.mark.parametrize("apart", [True, False])
def test_a_record_that_is_replaced_takes_its_results_along(series: Series, apart: bool) -> None:
    old, new = next(
        (f"old{n}", f"new{n}") for n in range(99) if _apart(f"old{n}", f"new{n}") is apart
    )  # in different shards, or in the same
    series.run(*whole(old), *whole("other"))
    series.run(patient(new, link=[{"type": "replaces", "other": {"reference": f"Patient/{old}"}}]))
    assert set(by_patient(series.out)) == {new, "other"}
    assert subjects(series.new) == [f"Patient/{new}"]
    assert {"reference": f"Observation/{old}-u1"} in series.new[0]["basis"]
    assert series.retracted == []
    series.run(creatinine("late", f"Patient/{old}", 2.2, "2026-11-20T08:00:00Z"), deleted=(f"Patient/{old}",))
    assert subjects(series.retracted) == [f"Patient/{old}"], "what was said under the old record, now that it is gone"
    assert {"reference": "Observation/late"} in series.new[0]["basis"]


def _apart(one: str, other: str) -> bool:
    return shard_of(one.encode(), 8) != shard_of(other.encode(), 8)


def test_records_that_replace_each_other_in_a_circle_are_nobody(series: Series) -> None:
    series.run(*whole("a"), *whole("b", 3.0), *whole("c"))
    series.run(
        patient("a", link=[{"type": "replaces", "other": {"reference": "Patient/b"}}]),
        patient("b", link=[{"type": "replaces", "other": {"reference": "Patient/a"}}]),
    )
    assert {name: series.row(name)["outcome"] for name in "abc"} == {"a": "rejected", "b": "rejected", "c": "risk"}
    assert series.row("a")["reason"] == "identity"


def test_a_result_that_was_somebody_elses_leaves_the_first_patient(series: Series) -> None:
    series.run(*whole("a"), *whole("b"), uacr("x", "Patient/a", 3000, "2026-11-10T08:00:00Z"))
    (first,) = (one for one in series.new if one["subject"]["reference"] == "Patient/a")
    assert {"reference": "Observation/x"} in first["basis"]
    series.run(uacr("x", "Patient/b", 3000, "2026-11-10T08:00:00Z", status="corrected"), at=LATER)
    assert sorted(subjects(series.new)) == ["Patient/a", "Patient/b"]
    about = {one["subject"]["reference"]: one["basis"] for one in series.new}
    assert {"reference": "Observation/a-u1"} in about["Patient/a"]
    assert {"reference": "Observation/x"} in about["Patient/b"]
    assert [one["id"] for one in series.retracted] == [first["id"]]


@pytest.mark.parametrize("prefilter", ["aho", "rg", "none"])
def test_a_result_that_turns_out_to_be_another_test_is_not_read_any_more(series: Series, prefilter: Any) -> None:
    series.run(*whole("a"), uacr("x", "Patient/a", 3000, "2026-11-10T08:00:00Z"))
    (first,) = series.new
    sodium = uacr("x", "Patient/a", 140, "2026-11-10T08:00:00Z", status="corrected")
    sodium["code"] = {"coding": [{"system": "http://loinc.org", "code": "2951-2"}]}
    series.run(sodium, at=LATER, engine=prefilter)
    (second,) = series.new
    assert {"reference": "Observation/a-u1"} in second["basis"]
    assert [one["id"] for one in series.retracted] == [first["id"]]


def test_a_resource_about_two_people_rejects_its_patient_and_nobody_else(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    series.run(creatinine("x", "Patient/a", 9.0, patient={"reference": "Patient/b"}))
    assert series.row("a")["outcome"] == "rejected"
    assert series.row("b")["outcome"] == "risk"
    assert series.retracted == []


def test_a_patient_who_names_a_subject_takes_nobodys_results(series: Series) -> None:
    series.run(patient("a", subject={"reference": "Patient/b"}), *whole("b"))
    assert (series.row("a")["outcome"], series.row("b")["outcome"]) == ("not-scored", "risk")
    assert subjects(series.new) == ["Patient/b"]


def test_two_versions_in_one_export_that_disagree_reject_the_patient(series: Series) -> None:
    series.run(*whole("a"))
    series.run(creatinine("a-c1", "Patient/a", 2.3), creatinine("a-c1", "Patient/a", 2.4))
    assert (series.row("a")["outcome"], series.row("a")["reason"]) == ("rejected", "unavailable")


def test_a_prior_run_that_does_not_fit_is_refused(series: Series, tmp_path: Path) -> None:
    series.run(*whole("a"), at=LATER)
    export, prior = str(tmp_path / "export-1"), series.out
    how = ["--region", "north-america", "--at", "2026-11-22T12:00:00Z"]

    def refused(*more: str, prior: Path = prior) -> str:
        ran = bedside("score", export, "--out", str(tmp_path / "next"), "--prior", str(prior), *how, *more)
        assert ran.returncode == 2, ran.stderr
        assert not (tmp_path / "next" / ".work").exists()
        return ran.stderr

    assert "is as of 2026-12-22T12:00:00Z, which is later than this run" in refused()
    assert "there is no finished run" in refused(prior=tmp_path)
    how[-1] = "2027-01-01"
    assert "kept other data than these models read" in refused("--models", "kfre-8")


def test_a_prior_run_of_other_codes_is_refused(series: Series, tmp_path: Path) -> None:
    series.run(*whole("a"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.toml").write_text('[codes]\n"urn:lab|CR" = "creatinine"\n')
    other = recipe(["kfre-4"], site=str(tmp_path / "site"), region="north-america")
    with pytest.raises(RequestError, match="kept other data than these models read"):
        series.run(of=other)


def test_a_prior_run_with_other_settings_is_taken_up(series: Series) -> None:
    series.run(*whole("a"))
    first = series.row("a")
    series.run(of=recipe(["kfre-4"], region="elsewhere"))
    assert series.row("a")["probability"] != first["probability"]
    assert len(series.new) == 1


def test_counts_of_a_later_run_add_up(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    report = series.run(patient("c"), uacr("lost", "Patient/nobody"), deleted=("Patient/b",))
    outcomes = report["outcomes"]["kfre-4"]
    assert (report["patients"], outcomes["scored"], sum(outcomes["not_scored"].values())) == (2, 1, 1)
    assert report["lines"] == {"in": 2, "kept": 2, "rejected": 1}
    assert json.loads((series.out / "rejects.ndjson").read_bytes())["line"] == 2


def test_a_merge_that_was_undone_scores_neither_until_all_is_read_anew(series: Series) -> None:
    link = [{"type": "replaces", "other": {"reference": "Patient/b"}}]
    series.run(*whole("a")[1:], patient("a", link=link), *whole("b"))
    assert set(by_patient(series.out)) == {"a"}
    for _ in range(2):
        series.run(patient("a"), patient("b"), creatinine("b-c3", "Patient/b", 1.9, "2026-11-20T08:00:00Z"))
        found = by_patient(series.out)
        assert {name: found[name]["reason"] for name in found} == {"a": "identity", "b": "identity"}


def test_a_result_that_could_not_be_read_lets_no_older_one_stand_in(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    broken = json.dumps(creatinine("a-c1", "Patient/a", 2.0)).replace("2.0", "1e999")
    series.run(broken)
    assert by_patient(series.out)["a"]["reason"] == "unavailable"
    assert "could not be read" in by_patient(series.out)["a"]["text"]
    assert by_patient(series.out)["b"]["outcome"] == "risk"
    series.run()
    assert by_patient(series.out)["a"]["reason"] == "unavailable", "it is still the newest word on that result"
    series.run(creatinine("a-c1", "Patient/a", 2.3))
    assert by_patient(series.out)["a"]["outcome"] == "risk"


def test_charts_that_are_damaged_are_told_of(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    for chart in (series.out / "charts").glob("0*"):
        chart.write_bytes(chart.read_bytes()[:-7])
    with pytest.raises(RequestError, match="charts are damaged: score a whole export anew"):
        series.run(patient("c"))


@pytest.mark.proves(
    "B14", "a night of deletions only, an empty night, a history URL: applied; what names nothing is refused"
)
def test_b14_a_night_may_bring_deletions_only(series: Series) -> None:
    series.run(*whole("a"), *whole("b"))
    series.run(deleted=("Observation/a-c1/_history/3", "https://ehr.example/fhir/Patient/b/_history/1"), at=LATER)
    assert sorted(subjects(series.retracted)) == ["Patient/a", "Patient/b"]
    assert set(by_patient(series.out)) == {"a"}
    with pytest.raises(ExportUnreadable, match="a deletion names no resource"):
        series.run(deleted=("Patient",), at=LATER)
