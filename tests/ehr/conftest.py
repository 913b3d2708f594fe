"""Real EHRs for the tests: the demo's own on a port of its own, a FHIR server and an OpenID provider of others."""

from collections.abc import Iterator

import pytest

from cds.web.demo.app import create_demo_ehr
from cds.web.demo.conduct import Conduct
from tests.ehr.running import running
from tests.ehr.standalone import APPS, Clock, Standalone


@pytest.fixture(scope="module")
def started_ehr() -> Iterator[Standalone]:
    clock = Clock()
    app = create_demo_ehr(clock, apps=APPS)
    with running(app) as origin:
        at = Standalone(origin, app.state.ehr, clock)
        yield at
        at.http.close()


@pytest.fixture
def ehr(started_ehr: Standalone) -> Iterator[Standalone]:
    """The standalone EHR, with its usual conduct at the beginning of each test."""
    started_ehr.ehr.conduct = Conduct()
    yield started_ehr
    started_ehr.ehr.conduct = Conduct()
