"""`bedside new` as a newcomer uses it: what it writes, what is then still missing, and from scaffold to card."""

import ast
import json
import os
import pickle
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from cds.cli import scaffold
from cds.cli.main import app
from tests.cli.command import AT, bedside

SITE = """
trust = "open-on-loopback"
region = "elsewhere"
"""
PREDICT = '''
    def predict(self, row: Inputs) -> Sequence[Score]:
        """Payne et al., Br Med J 1973;4:643."""
        corrected = row.calcium.value + 0.8 * (4.0 - row.albumin.value)
        return (Score(self.card.outcome, corrected, "mg/dL"),)
'''
CARD = {
    "citation": ["Payne RB, et al. Interpretation of serum calcium. Br Med J 1973;4:643."],
    "intended_use": "Shows calcium as it would be at a normal albumin.",
    "intended_users": "Clinicians",
    "population": "Adults",
    "cautions": ["Ionised calcium is better where it can be had."],
    "inputs": {"calcium": "in mg/dL, newest of 12 months", "albumin": "in g/dL, newest of 12 months"},
    "licence": "Published formula",
    "checked": ["two rows by hand"],
    "url": "https://example.org/payne",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    return tmp_path


def lacks(site: Path, name: str) -> list[str]:
    """What `bedside models check` lists."""
    said = bedside("models", "check", name, "--site", str(site))
    listed = [line.removeprefix(f"fail  {name}: ") for line in said.stdout.splitlines() if line.startswith("fail")]
    assert said.returncode == (1 if listed else 0), said.stdout + said.stderr
    return listed


def fill_card(folder: Path, **members: Any) -> None:
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, **members}), encoding="utf-8")


def fill_model(folder: Path, *changes: tuple[str, str]) -> None:
    code = (folder / "model.py").read_text(encoding="utf-8")
    for before, after in changes:
        assert before in code
        code = code.replace(before, after)
    (folder / "model.py").write_text(code.replace("FILL IN", "it says"), encoding="utf-8")


def test_a_new_model_says_what_it_lacks(site: Path) -> None:
    said = bedside("new", "model", "corrected-calcium", "--site", str(site))
    assert said.returncode == 0, said.stderr
    folder = site / "models" / "corrected_calcium"
    assert sorted(file.name for file in folder.iterdir()) == ["card.yaml", "model.py", "reference.csv"]
    listed = lacks(site, "corrected-calcium")
    assert [line for line in listed if line.startswith("card.yaml")] == [
        "card.yaml citation: is empty",
        "card.yaml intended_use: is empty",
        "card.yaml intended_users: is empty",
        "card.yaml population: is empty",
        "card.yaml cautions: is empty",
        "card.yaml licence: is empty",
        "card.yaml checked: is empty",
        "card.yaml url: is no https:// address",
    ]
    assert len([line for line in listed if re.match(r"model\.py line \d+: .*FILL IN", line)]) == 5
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    assert sorted(card["source_attributes"]) == list(range(1, 32))


def test_a_complete_card_leaves_the_formula_and_its_rows(site: Path) -> None:
    bedside("new", "model", "corrected-calcium", "--site", str(site))
    folder = site / "models" / "corrected_calcium"
    fill_card(folder, **{**CARD, "inputs": {"age": "years"}})
    fill_model(folder)
    assert lacks(site, "corrected-calcium") == ["reference_rows: reference.csv has no row for corrected-calcium"]
    (folder / "reference.csv").write_text("age,creatinine,expected\n60,1.0,3\n", encoding="utf-8")
    failed = "reference_rows: raises ModelFailed: corrected-calcium failed with NotImplementedError"
    place = r" \(NotImplementedError at models/corrected_calcium/model\.py:\d+\)"
    assert [line for line in lacks(site, "corrected-calcium") if re.fullmatch(failed + place, line)]


def test_a_column_that_is_no_input_is_one_complaint_and_no_traceback(site: Path) -> None:
    bedside("new", "model", "corrected-calcium", "--site", str(site))
    folder = site / "models" / "corrected_calcium"
    fill_card(folder, **{**CARD, "inputs": {"age": "years"}})
    fill_model(folder)
    (folder / "reference.csv").write_text("age,kreatinin,expected\n60,1.0,3\n60,1.0,\n", encoding="utf-8")
    (said,) = lacks(site, "corrected-calcium")
    assert said.startswith("reference_rows: reference.csv line 2 cannot be read (")


def test_from_the_scaffold_to_a_card(site: Path) -> None:
    bedside("new", "model", "corrected-calcium", "--site", str(site))
    folder = site / "models" / "corrected_calcium"
    stub = re.search(r"\n    def predict.*?NotImplementedError\n", (folder / "model.py").read_text(), re.DOTALL)
    assert stub
    latest = 'Latest(lab_series("{}", count=10), within=months(12))'
    fill_model(
        folder,
        (stub[0], PREDICT),
        ("    age = Age()\n", f"    albumin = {latest.format('albumin')}\n"),
        (f"creatinine = {latest.format('creatinine')}", f"calcium = {latest.format('calcium')}"),
        ("    Age,\n", ""),
    )
    fill_card(folder, **CARD, thresholds=[{"above": 10.5, "action": "Repeat it", "source": "the laboratory"}])
    (folder / "reference.csv").write_text("calcium,albumin,expected\n9.0,3.0,9.8\n9.0,4.0,9.0\n", encoding="utf-8")
    assert lacks(site, "corrected-calcium") == []

    said = bedside("new", "service", "calcium", "--model", "corrected-calcium", "--site", str(site))
    assert said.returncode == 0, said.stderr
    with (site / "site.toml").open("a", encoding="utf-8") as opened:
        opened.write('[services.calcium]\nstage = "live"\n')
    assert card(site, calcium=10.2, albumin=3.0) == ["Corrected calcium: 11 mg/dL. Repeat it."]
    assert card(site, calcium=9.0, albumin=4.0) == []
    assert card(site, calcium=9.0, albumin=None) == []

    cuts = [
        {"above": 13, "action": "Admit", "source": "the laboratory"},
        {"above": 10.5, "action": "Repeat it " * 20, "source": "the laboratory"},
    ]
    fill_card(folder, thresholds=cuts)
    assert card(site, calcium=14.0, albumin=4.0) == ["Corrected calcium: 14 mg/dL. Admit."]
    (long,) = card(site, calcium=11.0, albumin=4.0)
    assert (long.endswith(" …"), 120 < len(long) < 140) == (True, True)


LOINC = {"calcium": "17861-6", "albumin": "1751-7"}
UNIT = {"calcium": "mg/dL", "albumin": "g/dL"}


def card(site: Path, **values: float | None) -> list[str]:
    """The summaries that the new service answers for a patient with these results."""
    held: dict[str, Any] = {"patient": {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1960"}}
    for name, value in values.items():
        observation = {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "subject": {"reference": "Patient/p"},
            "code": {"coding": [{"system": "http://loinc.org", "code": LOINC[name]}]},
            "effectiveDateTime": "2026-11-01T08:00:00Z",
            "valueQuantity": {"value": value, "unit": UNIT[name]},
        }
        entries = [] if value is None else [{"resource": observation}]
        held[name] = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    request = {
        "hook": "patient-view",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/1", "patientId": "p"},
        "prefetch": held,
    }
    arguments = ("card", "-", "--service", "calcium", "--site", str(site), "--at", AT)
    said = bedside(*arguments, read=json.dumps(request))
    assert said.returncode == 0, said.stdout + said.stderr
    return [one["summary"] for one in json.loads(said.stdout)["cards"]]


NO_NAMES = ["Fib4", "fib_4", "4fib", "../fib", "fib-", "class", "", "none", "true", "is-not\n", "a" * 65]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_cannot_be_is_refused(site: Path, name: str) -> None:
    said = CliRunner().invoke(app, ["new", "model", "--site", str(site), "--", name])
    assert said.exit_code == 2
    assert not (site / "models").exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("model", "score"),
        ("model", "inputs"),
        ("model", "exception"),
        ("service", "silence"),
        ("service", "shown-number"),
        ("service", "isinstance"),
    ],
)
def test_a_name_that_its_own_file_needs_for_something_else_is_refused(site: Path, kind: str, name: str) -> None:
    more = ["--model", "kfre-4"] if kind == "service" else []
    said = CliRunner().invoke(app, ["new", kind, name, "--site", str(site), *more])
    assert (said.exit_code, "take another id" in said.stderr) == (2, True)
    assert not (site / "models").exists()
    assert not (site / "hooks").exists()


@pytest.mark.parametrize("model", ["no-such", "kfre", '",), x=print("ran"), y=("', "kfre-4\n", ""])
def test_a_service_is_written_for_a_model_that_there_is(site: Path, model: str) -> None:
    said = CliRunner().invoke(app, ["new", "service", "own", "--model", model, "--site", str(site)])
    assert (said.exit_code, "there is no such model; there are " in said.stderr) == (2, True)
    assert not (site / "hooks").exists()


def test_a_service_that_is_off_does_not_stop_the_site_when_its_model_is_gone(site: Path) -> None:
    bedside("new", "service", "own", "--model", "kfre-4", "--site", str(site))
    file = site / "hooks" / "own.py"
    file.write_text(file.read_text(encoding="utf-8").replace("kfre-4", "gone"), encoding="utf-8")
    assert bedside("models", "--site", str(site)).returncode == 0
    (site / "site.toml").write_text(f'{SITE}[services.own]\nstage = "shadow"\n', encoding="utf-8")
    said = bedside("models", "--site", str(site))
    assert (said.returncode, "service own wants gone, which no folder of models/ has" in said.stderr) == (2, True)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("model", "kfre"), ("model", "kfre-4"), ("service", "kidney-failure"), ("service", "kidney-failure-risk")],
)
def test_what_is_there_is_not_written_over(site: Path, kind: str, name: str) -> None:
    more = ("--model", "kfre-4") if kind == "service" else ()
    said = bedside("new", kind, name, "--site", str(site), *more)
    assert (said.returncode, "is there already" in said.stderr) == (2, True)


def test_nothing_is_written_twice(site: Path) -> None:
    assert bedside("new", "service", "own", "--model", "kfre-4", "--site", str(site)).returncode == 0
    before = (site / "hooks" / "own.py").read_text()
    said = bedside("new", "service", "own", "--model", "kfre-6", "--site", str(site))
    assert (said.returncode, (site / "hooks" / "own.py").read_text()) == (2, before)


# A team's own pipeline


def pipeline(names: bool = False) -> Pipeline:
    draw = np.random.default_rng(1)
    table: Any = np.column_stack([draw.uniform(30, 90, 300), draw.integers(0, 2, 300), draw.uniform(0.5, 3, 300)])
    ill = draw.uniform(size=300) < 1 / (1 + np.exp(-(table[:, 0] - 60) / 10))
    if names:
        import pandas as pd

        table = pd.DataFrame(table, columns=["age", "sex", "creatinine"])
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(table, ill.astype(int))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    joblib.dump(pipeline(names=True), tmp_path / "team.joblib")
    return tmp_path / "team.joblib"


class Shell:
    """Makes a folder when it is unpickled, as an attacker's file would do worse."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_a_file_that_nobody_vouches_for_is_hashed_and_not_opened(site: Path, answer: str) -> None:
    hostile, mark = site / "theirs.joblib", site / "ran"
    hostile.write_bytes(pickle.dumps(Shell(mark)))
    said = bedside("new", "model", "team", "--from-joblib", str(hostile), "--site", str(site), read=answer)
    assert said.returncode in (1, 4)
    assert sha256(hostile.read_bytes()).hexdigest() in said.stderr
    assert not mark.exists()
    assert not (site / "models").exists()


def test_a_teams_own_file_is_carded_and_lists_what_to_confirm(site: Path, file: Path) -> None:
    said = bedside("new", "model", "team", "--from-joblib", str(file), "--mine", "--site", str(site))
    assert said.returncode == 0, said.stderr
    folder = site / "models" / "team"
    artefact = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))["artefact"]
    assert artefact["sha256"] == sha256((folder / "model.joblib").read_bytes()).hexdigest()
    assert (folder / "model.joblib").read_bytes() == file.read_bytes()
    assert artefact["columns"] == ["age", "sex", "creatinine"]
    golden = (folder / "golden.csv").read_text(encoding="utf-8").splitlines()
    assert (golden[0], len(golden)) == ("age,sex,creatinine,probability", 9)
    listed = lacks(site, "team")
    assert len([line for line in listed if "FILL IN: trained with" in line]) == 3
    assert any("trained with creatinine in mg/dL" in line for line in listed)
    horizon = "horizons_years: [5]  # FILL IN: within how many years; a trained model has exactly one horizon"
    assert [line for line in listed if re.fullmatch(rf"card\.yaml line \d+: {re.escape(horizon)}", line)]


@pytest.mark.parametrize("horizons", [[], [2, 5]])
def test_a_trained_model_without_exactly_one_horizon_is_told_so_at_once(
    site: Path, file: Path, horizons: list[int]
) -> None:
    bedside("new", "model", "team", "--from-joblib", str(file), "--mine", "--site", str(site))
    folder = site / "models" / "team"
    fill_model(folder)
    fill_card(folder, **{**CARD, "inputs": {"age": "years"}}, horizons_years=horizons)
    said = "card.yaml horizons_years: a trained model needs exactly one horizon, as [5]"
    assert lacks(site, "team") == [said]
    stopped = bedside("check", "--site", str(site))
    assert (stopped.returncode, f"fail  site: model team: {said}" in stopped.stdout) == (1, True)


def test_a_teams_own_model_scores_and_stays_in_shadow_until_validated(site: Path, file: Path) -> None:
    bedside("new", "model", "team", "--from-joblib", str(file), "--mine", "--site", str(site))
    folder = site / "models" / "team"
    fill_model(folder)
    fill_card(folder, **{**CARD, "inputs": {"age": "years", "sex": "as recorded", "creatinine": "mg/dL"}})
    fill_card(folder, horizons_years=[5])
    import pandas as pd

    people = [(70, "male", 1.5), (70, "female", 1.5), (40, "female", 0.8)]
    table = pd.DataFrame([(a, float(s == "male"), c) for a, s, c in people], columns=["age", "sex", "creatinine"])
    risks = pipeline(names=True).predict_proba(table)[:, 1]
    rows = [f"{a},{s},{c},{risk!r}" for (a, s, c), risk in zip(people, map(float, risks), strict=True)]
    (folder / "reference.csv").write_text("\n".join(["age,sex,creatinine,expected", *rows, ""]), encoding="utf-8")
    said = bedside("models", "check", "team", "--site", str(site))
    assert said.returncode == 0, said.stdout + said.stderr
    assert "note  team: runs in shadow only: it is trained, and its card.yaml has no validation" in said.stdout

    bedside("new", "service", "team-service", "--model", "team", "--site", str(site))
    with (site / "site.toml").open("a", encoding="utf-8") as opened:
        opened.write('[services.team-service]\nstage = "live"\n')
    said = bedside("check", "--site", str(site))
    assert (said.returncode, 'may be stage = "shadow" only: team' in said.stdout) == (1, True)
    (site / "site.toml").write_text((site / "site.toml").read_text().replace("live", "shadow"), encoding="utf-8")
    assert "pass  service team-service" in bedside("check", "--site", str(site)).stdout


def test_a_file_from_outside_comes_in_by_skops(site: Path) -> None:
    skops.io.dump(pipeline(), site / "theirs.skops")
    said = bedside("new", "model", "team", "--from-skops", str(site / "theirs.skops"), "--site", str(site))
    assert said.returncode == 0, said.stderr
    listed = lacks(site, "team")
    assert [line[line.index("FILL") :] for line in listed if "which feature gives" in line] == [
        f"FILL IN: which feature gives the column '{name}', in which unit" for name in ("x0", "x1", "x2")
    ]


class Strange(StandardScaler):  # type: ignore[misc]
    """A type that skops has never heard of."""


def test_a_type_that_skops_does_not_know_is_not_opened(site: Path) -> None:
    skops.io.dump(make_pipeline(Strange(), LogisticRegression()), site / "theirs.skops")
    said = bedside("new", "model", "team", "--from-skops", str(site / "theirs.skops"), "--site", str(site))
    assert said.returncode == 4
    assert "Strange, which skops does not know" in said.stderr
    assert not (site / "models").exists()


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ({"a": 1}, "holds nothing that gives probabilities"),
        (LogisticRegression().fit([[0], [1], [2]], [0, 1, 2]), "does not tell 0"),
        (LogisticRegression().fit([[0.0], [1.0]], [0, 1]), None),
    ],
)
def test_a_file_that_cannot_be_a_model_is_told(site: Path, thing: object, said: str | None) -> None:
    joblib.dump(thing, site / "team.joblib")
    done = bedside("new", "model", "team", "--from-joblib", str(site / "team.joblib"), "--mine", "--site", str(site))
    assert (done.returncode, (said or "") in done.stderr) == (0 if said is None else 2, True)
    assert (site / "models").exists() == (said is None)


def test_examples_become_the_golden_vectors(site: Path, file: Path) -> None:
    (site / "rows.csv").write_text("age,sex,creatinine\n60,1,1.1\n40,0,0.8\n", encoding="utf-8")
    arguments = ("--from-joblib", str(file), "--mine", "--examples", str(site / "rows.csv"), "--site", str(site))
    assert bedside("new", "model", "team", *arguments).returncode == 0
    golden = (site / "models" / "team" / "golden.csv").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition(",")[0] for line in golden] == ["age,sex,creatinine", "60.0,1.0,1.1", "40.0,0.0,0.8"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("50,1", "rows.csv line 2: has not as many cells as its first line"),
        ("50,1,1.1,7", "rows.csv line 2: has not as many cells as its first line"),
        ("50,1,\udce9", "rows.csv cannot be read: UnicodeDecodeError"),
        ("50,1,abc", "team.joblib does not answer for the rows of rows.csv (ValueError): mend them"),
        ("", "rows.csv has no rows"),
    ],
)
def test_examples_that_cannot_be_read_are_told(site: Path, file: Path, rows: str, said: str) -> None:
    examples = site / "rows.csv"
    examples.write_text(f"age,sex,creatinine\n{rows}\n", encoding="utf-8", errors="surrogateescape")
    arguments = ["--from-joblib", str(file), "--mine", "--examples", str(examples), "--site", str(site)]
    done = CliRunner().invoke(app, ["new", "model", "team", *arguments])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (site / "models").exists()


@pytest.mark.parametrize(("text", "cell"), [("-3", -3.0), ("1e-3", 0.001), ("2.5", 2.5), ("male", "male"), ("", "")])
def test_a_cell_of_reference_rows_that_reads_as_a_number_is_one(text: str, cell: float | str) -> None:
    code = scaffold.TRAINED.substitute(id="team", cls="Team", imports="    Missing,", features="", columns="")
    made = ast.parse(code)
    (kept,) = (node for node in made.body if isinstance(node, ast.FunctionDef) and node.name == "_cell")
    names: dict[str, Any] = {}
    exec(compile(ast.Module([kept], []), "model.py", "exec"), names)
    assert names["_cell"](text) == cell
