"""The fixtures of the SMART app's protocol."""

from tests.smart.ehr import router
from tests.smart.world import own_keys, world

__all__ = ["own_keys", "router", "world"]
