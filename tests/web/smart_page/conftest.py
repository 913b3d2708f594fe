"""The app's pages over our own patients, each story once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cdshooks.charts import Json
from tests.web.smart_page.bench import App, Launch, Records, Token
from tests.web.smart_page.stories import story


@pytest.fixture
def open_app(tmp_path_factory: pytest.TempPathFactory, empty_ledger: Path) -> Iterator[Callable[..., App]]:
    """Opens the app on a story by its name, or on other resources; `scope` is what was granted, `encounter` the open
    one's id.
    """
    opened: list[App] = []

    def make(
        told: str | list[Json],
        *,
        scope: str | None = None,
        encounter: str | None = None,
        records: Records | None = None,
        **changes: Any,
    ) -> App:
        resources = story(told) if isinstance(told, str) else told
        patient = next(one for one in resources if one["resourceType"] == "Patient")
        launch = Launch(patient["id"], Token(scope=scope) if scope else Token(), encounter_id=encounter)
        opened.append(
            App(records or Records(resources), launch, tmp_path_factory.mktemp("app"), empty_ledger, **changes)
        )
        return opened[-1]

    yield make
    for app in opened:
        app.close()
