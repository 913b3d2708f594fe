"""The fixtures of the exports' tests: our keys, and a server that knows them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cds.trust.own_keys import OwnKeys
from tests.bulk.server import BulkDouble, bulk_double


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> OwnKeys:
    return OwnKeys.create(tmp_path_factory.mktemp("keys") / "bedside-keys.json")


@pytest.fixture
def signed(keys: OwnKeys) -> Iterator[BulkDouble]:
    """A server that wants tokens."""
    with bulk_double(keys) as double:
        yield double


@pytest.fixture
def unsigned() -> Iterator[BulkDouble]:
    """A server that is open to everybody."""
    with bulk_double() as double:
        yield double


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
