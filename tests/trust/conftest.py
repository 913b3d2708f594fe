"""The key server of an EHR with one key, as most tests of trust need it."""

import pytest

from tests.trust.ehr import KeyServer, key, public


@pytest.fixture
def server() -> KeyServer:
    return KeyServer(*public(key()))
