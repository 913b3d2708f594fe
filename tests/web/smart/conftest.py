"""The fixtures of the SMART app in the browser."""

from tests.cdshooks.fixtures import empty_ledger, open_desk
from tests.smart.ehr import router
from tests.smart.world import own_keys
from tests.web.smart.clinic import clinic, frames, make_clinic

__all__ = ["clinic", "empty_ledger", "frames", "make_clinic", "open_desk", "own_keys", "router"]
