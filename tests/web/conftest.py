"""The servers of tests/cdshooks, ours and the EHR's, and ours as a process of its own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cds.ledger import Keyring
from tests.cdshooks.charts import Json
from tests.cdshooks.ehr import ehr
from tests.cdshooks.fixtures import desk, empty_ledger, lenient, open_desk
from tests.cli.command import ROOT
from tests.smart.ehr import router
from tests.web.process import Served

__all__ = ["desk", "ehr", "empty_ledger", "lenient", "open_desk", "router"]


@pytest.fixture
def open_server(tmp_path: Path, empty_ledger: Path) -> Iterator[Callable[[], Served]]:
    """Makes server processes that share one site and one ledger."""
    opened: list[Served] = []
    keyring = Keyring.generate()

    def make() -> Served:
        opened.append(Served(tmp_path, empty_ledger, keyring=keyring))
        return opened[-1]

    yield make
    for server in opened:
        server.end()


@pytest.fixture(scope="session")
def call() -> Json:
    """A fully prefetched call that gets a card."""
    found: Json = json.loads((ROOT / "fhir_fixtures" / "requests" / "refer.json").read_bytes())
    return found
