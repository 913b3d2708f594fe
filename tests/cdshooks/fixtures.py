"""Servers for the tests of the protocol, the web and the cards."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cds.ledger import Ledger
from cds.trust import Trust
from cds.trust.own_keys import OwnKeys
from tests.cdshooks.desk import KEYRING, Desk, site


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with its tables and nothing in them, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "empty.sqlite"
    Ledger.open(f"sqlite:///{path}", KEYRING, create=True).close()
    return path


@pytest.fixture
def open_desk(tmp_path_factory: pytest.TempPathFactory, empty_ledger: Path) -> Iterator[Callable[..., Desk]]:
    """Opens a server: `site` is one made elsewhere, everything else are settings."""
    opened: list[Desk] = []

    def make(
        served: Any = None,
        *,
        demo: bool = False,
        trust: Trust | None = None,
        keys: OwnKeys | None = None,
        **changes: Any,
    ) -> Desk:
        folder = tmp_path_factory.mktemp("desk")
        opened.append(Desk(served or site(**changes), folder, empty_ledger, demo=demo, trust=trust, keys=keys))
        return opened[-1]

    yield make
    for desk in opened:
        desk.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    """The kidney service, live and strict, with nothing to fetch from."""
    return open_desk()


@pytest.fixture
def lenient(open_desk: Callable[..., Desk]) -> Desk:
    """The same service, which takes what known clients send outside the rules."""
    return open_desk(lenient=True)
