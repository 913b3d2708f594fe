"""What every test may ask for, with the rule that in CI a skip is a failure."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA_ABSENT = "shared data absent"
"""The one reason for which a test may be skipped in CI."""

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# A shell that runs the tests in the background has them, and every command they start, ignore Ctrl-C; some press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published data and rules that lies beside the repository, or where BEDSIDE_TEST_DATA says."""
    folder = Path(os.environ.get("BEDSIDE_TEST_DATA") or ROOT.parent / "shared").resolve()
    if not folder.is_dir():
        pytest.skip(f"{SHARED_DATA_ABSENT}: no folder {folder}; BEDSIDE_TEST_DATA can name another")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser that the pages are tried in."""
    return _tool("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def wrk() -> Path:
    """The load generator."""
    return _tool("wrk")


def _tool(*names: str) -> Path:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed here")
    return Path(found)


@pytest.fixture
def campaign(record_property: Callable[[str, object], None]) -> Callable[[int], int]:
    """How many runs of a campaign to make: all under `make proof`, else a twentieth; the proof's table tells it."""

    def runs(full: int) -> int:
        count = full if _proving() else max(1, full // 20)
        record_property("runs", count)
        return count

    return runs


def _proving() -> bool:
    return os.environ.get("BEDSIDE_PROOF") == "full"


def _reports(session: pytest.Session, *outcomes: str) -> Iterator[pytest.TestReport | pytest.CollectReport]:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for outcome in outcomes:
        yield from reporter.stats.get(outcome, []) if reporter else ()


def _why_skipped(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _forbidden_skips(session: pytest.Session) -> list[str]:
    reasons = ((report.nodeid, _why_skipped(report)) for report in _reports(session, "skipped"))
    return [f"{test}: {why}" for test, why in reasons if SHARED_DATA_ABSENT not in why]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test fails the run: a tool that .ci/run forgot must not turn a test into silence."""
    if hasattr(session.config, "workerinput"):
        return  # only the process that gathers all workers' reports can judge
    if _proving() and _whole(session.config):
        _write_proof(session)
    if os.environ.get("CI") and exitstatus == pytest.ExitCode.OK and (skips := _forbidden_skips(session)):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter:
            reporter.section("skipped in CI, which is a failure", red=True)
            reporter.write_line("\n".join(skips))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _whole(config: pytest.Config) -> bool:
    """Whether no campaign was left out: the table would forget it."""
    return config.args == config.getini("testpaths") and not config.option.keyword


def _write_proof(session: pytest.Session) -> None:
    rows = [
        f"| {report.nodeid} | {_runs(report)} | {report.outcome} | {report.duration:.1f} |"
        for report in _reports(session, "passed", "failed")
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    head = [f"# The long campaigns, run in full on {datetime.now(UTC):%Y-%m-%d}", ""]
    table = ["| campaign | runs | outcome | seconds |", "|---|---|---|---|", *sorted(rows), ""]
    (ROOT / "bench" / "proof.md").write_text("\n".join(head + table), encoding="utf-8")


def _runs(report: pytest.TestReport) -> object:
    return dict(report.user_properties).get("runs", "")
