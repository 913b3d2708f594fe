"""The fixtures of the SMART app in the browser."""

from tests.smart.ehr import router
from tests.smart.world import own_keys
from tests.web.smart.clinic import clinic, frames, make_clinic

__all__ = ["clinic", "frames", "make_clinic", "own_keys", "router"]
