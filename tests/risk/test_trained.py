"""A trained model starts with its own file and library only, and what is not its own is never opened."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import joblib
import pytest
import yaml

from cds import ModelSettings
from cds.errors import NotInstalled, SiteError
from cds.risk import estimator
from cds.risk.conformance import reference_rows
from cds.risk.estimator import Estimator
from models.flchain_mortality import model as demonstration
from models.flchain_mortality.model import FlchainMortality

FOLDER = Path(demonstration.__file__).parent
ROOT = FOLDER.parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("card.yaml", "model.joblib", "golden.csv", "reference.csv"):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def built(folder: Path) -> FlchainMortality:
    return FlchainMortality.build(folder, ModelSettings())


def recard(folder: Path, **changes: object) -> None:
    """Change what the card says of the artefact."""
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    card["artefact"].update(changes)
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")


def put(folder: Path, content: bytes, *, carded: bool) -> None:
    """Another file under the same name; `carded`: whose hash the card names."""
    (folder / "model.joblib").write_bytes(content)
    if carded:
        recard(folder, sha256=sha256(content).hexdigest())


class Shell:
    """Writes a file when it is unpickled, as an attacker's artefact would do worse."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def kept(thing: object, file: Path) -> bytes:
    joblib.dump(thing, file)
    return file.read_bytes()


def test_its_own_file_is_opened_and_answers(folder: Path) -> None:
    assert reference_rows(built(folder)) == []


def test_another_file_stops_the_start(folder: Path) -> None:
    content = bytearray((folder / "model.joblib").read_bytes())
    content[-1] ^= 1
    put(folder, bytes(content), carded=False)
    with pytest.raises(SiteError, match=r"model flchain-mortality: model.joblib is not the file of card.yaml"):
        built(folder)


def test_a_truncated_file_stops_the_start(folder: Path) -> None:
    whole = (folder / "model.joblib").read_bytes()
    put(folder, whole[:2000], carded=False)
    with pytest.raises(SiteError, match="is not the file of card"):
        built(folder)


def test_a_truncated_file_that_was_carded_is_told_before_the_first_number(folder: Path) -> None:
    whole = (folder / "model.joblib").read_bytes()
    put(folder, whole[:2000], carded=True)
    with pytest.raises(SiteError, match=r"model.joblib cannot be opened: "):
        reference_rows(built(folder))


def test_a_file_that_is_not_there_stops_the_start(folder: Path) -> None:
    (folder / "model.joblib").unlink()
    with pytest.raises(SiteError, match=r"model.joblib cannot be read: FileNotFoundError"):
        built(folder)


def test_a_file_that_would_run_code_is_never_opened(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    put(folder, pickle.dumps(Shell(mark)), carded=False)
    with pytest.raises(SiteError, match="and was not opened"):
        built(folder)
    assert not mark.exists()


def test_a_file_put_there_after_the_start_is_never_opened(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    recard(folder, golden="golden.csv", python="3.11.0")  # a card of its own, whose file was not opened yet
    model = built(folder)
    put(folder, pickle.dumps(Shell(mark)), carded=False)
    with pytest.raises(SiteError, match="and was not opened"):
        reference_rows(model)
    assert not mark.exists()


def test_the_file_that_would_run_code_does_run_it_when_opened(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(pickle.dumps(Shell(mark)))
    assert mark.exists()


def test_another_version_of_the_library_stops_the_start(folder: Path) -> None:
    recard(folder, scikit_learn="1.0.2")
    with pytest.raises(SiteError, match=r"made with scikit-learn 1\.0\.2, and .* is installed: pip install"):
        built(folder)


def test_without_the_library_the_model_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator, "LIBRARY", "no-such-library")
    with pytest.raises(NotInstalled, match="no-such-library is not installed: pip install"):
        built(folder)


def test_another_python_is_told_and_does_not_stop(folder: Path) -> None:
    recard(folder, python="3.9.1")
    assert built(folder).made_elsewhere.startswith("made with Python 3.9.1, and this is 3.")
    assert reference_rows(built(folder)) == []


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        ("age,male,log_creatinine,probability\n65,0,0,0.5\n", "line 2: the file gives 0.0"),
        ("age,male,log_creatinine,probability\n65,0,0,nan\n", "line 2: the file gives 0.0"),
        ("age,male,log_creatinine,probability\n", "has no golden vector"),
        ("age,male,probability\n65,0,0.5\n", "has no column log_creatinine"),
        ("age,male,log_creatinine,probability\n65,0,\n", "line 2: has not as many cells as its first line"),
        ("age,male,log_creatinine,probability\n\n65,0,0,0.5,1\n", "line 3: has not as many cells as its first line"),
        ("age,male,log_creatinine,probability\n65,0,0,half\n", "line 2: its probability is no number"),
        ("age,male,log_creatinine,probability\n65,man,0,0.5\n", "line 2: the file does not answer: ValueError"),
        ("age,male,log_creatinine,probability\n65,0,0,0.5 \udce9\n", "cannot be read: UnicodeDecodeError"),
        ("", "has no column age, male, log_creatinine, probability"),
    ],
)
def test_golden_vectors_that_do_not_come_out_stop_the_proof(folder: Path, golden: str, said: str) -> None:
    (folder / "own.csv").write_text(golden, encoding="utf-8", errors="surrogateescape")
    recard(folder, golden="own.csv")
    with pytest.raises(SiteError, match=f"own.csv {said}"):
        reference_rows(built(folder))


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ({"no": "estimator"}, "holds nothing that gives probabilities"),
        ("three classes", "does not tell 0"),
        ("two columns", "takes other columns than card.yaml lists"),
    ],
)
def test_a_file_that_is_no_such_model_is_told(folder: Path, tmp_path: Path, thing: object, said: str) -> None:
    from sklearn.linear_model import LogisticRegression

    if thing == "three classes":
        thing = LogisticRegression().fit([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [0, 1, 2])
    elif thing == "two columns":
        thing = LogisticRegression().fit([[0, 0], [1, 1]], [0, 1])
    put(folder, kept(thing, tmp_path / "other.joblib"), carded=True)
    with pytest.raises(SiteError, match=said):
        reference_rows(built(folder))


class Crossed:
    """An estimator whose columns work together: the odds are doubled by a, and by a with b eightfold."""

    def predict_proba(self, table: list[list[float]]) -> "list[list[float]] | object":
        import numpy as np

        ((a, b),) = table
        odds = 2.0**a * 4.0 ** (a * b)
        return np.array([[1 / (1 + odds), odds / (1 + odds)]])


def test_a_difference_of_columns_that_work_together_is_shared_evenly() -> None:
    import math

    shared = Estimator(Crossed(), ("a", "b")).shared_out({"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0})
    assert shared["a"] == pytest.approx(math.log(2) + math.log(4) / 2)
    assert shared["b"] == pytest.approx(math.log(4) / 2)


def test_finding_every_model_loads_no_library() -> None:
    code = (
        "import sys; from cds.settings import read_settings; from cds.site import load_site; "
        "site = load_site(settings=read_settings(region='north-america')); "
        "assert 'flchain-mortality' in site.models; "
        "print([name for name in ('sklearn', 'joblib', 'numpy', 'pandas', 'scipy') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert said.stdout == "[]\n"


SERVICE = """
from cds import Guidance, HookCall, hook

@hook("patient-view", id="own-mortality", title="T", description="D", models=("own-mortality",))
def own(call: HookCall) -> Guidance:
    return Guidance()
"""
MODEL = """
from models.flchain_mortality.model import FlchainMortality

class Own(FlchainMortality):
    id = "own-mortality"
"""


def a_site(folder: Path, *, validated: bool = True, stage: str = "live") -> Path:
    own = folder / "models" / "own_mortality"
    own.mkdir(parents=True)
    (own / "model.py").write_text(f'"""Own."""\n{MODEL}', encoding="utf-8")
    for name in ("card.yaml", "model.joblib", "golden.csv", "reference.csv"):
        shutil.copy(FOLDER / name, own)
    if not validated:
        card = yaml.safe_load((own / "card.yaml").read_text(encoding="utf-8"))
        del card["validation"]
        (own / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    (folder / "hooks").mkdir()
    (folder / "hooks" / "own.py").write_text(f'"""Own."""\n{SERVICE}', encoding="utf-8")
    (folder / "site.toml").write_text(
        f'trust = "open-on-loopback"\nregion = "elsewhere"\n[services.own-mortality]\nstage = "{stage}"\n',
        encoding="utf-8",
    )
    return folder


def start(folder: Path) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith("BEDSIDE_")}
    return subprocess.run(
        [sys.executable, "-m", "cds.cli", "serve", "--site", str(folder), "--port", "1"],
        capture_output=True, text=True, timeout=100, cwd=ROOT, env={**own, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip


def test_the_server_does_not_start_on_golden_vectors_that_differ(tmp_path: Path) -> None:
    site = a_site(tmp_path)
    golden = site / "models" / "own_mortality" / "golden.csv"
    golden.write_text(golden.read_text(encoding="utf-8").replace(",0.09", ",0.08", 1), encoding="utf-8")
    said = start(site)
    assert (said.returncode, said.stdout) == (2, "")
    assert "model own-mortality: golden.csv line 2: the file gives 0.09" in said.stderr


def test_the_server_does_not_start_on_another_file(tmp_path: Path) -> None:
    site = a_site(tmp_path)
    (site / "models" / "own_mortality" / "model.joblib").write_bytes(b"something else")
    said = start(site)
    assert said.returncode == 2
    assert "model own-mortality: model.joblib is not the file of card.yaml" in said.stderr


def test_a_trained_model_without_validation_is_not_shown(tmp_path: Path) -> None:
    said = start(a_site(tmp_path, validated=False))
    assert said.returncode == 2
    assert 'service own-mortality is live and may be stage = "shadow" only: own-mortality: it is trained' in said.stderr
