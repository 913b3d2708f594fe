"""The demo's EHR as its routes share it: the records, what it granted, the apps it knows, and its conduct."""

from collections.abc import Callable, Iterable
from datetime import date, datetime

import anyio
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import DecodeError, json
from starlette.requests import Request

from cds.errors import DataUnavailable
from cds.fhir.http import fetch_bytes
from cds.trust.keys import SET_BYTES
from cds.web.demo.authorization import SigningKeys, SmartServer
from cds.web.demo.conduct import Conduct, Place
from cds.web.demo.kept import Context, Memory
from cds.web.demo.records import Records
from cds.web.demo.registered import App

PREFIX = "/demo"
KEY_SECONDS = 5.0


class Ehr:
    """One EHR. `conduct` may be replaced at any time, and the next request meets it."""

    def __init__(self, clock: Callable[[], datetime], apps: Iterable[App] = (), conduct: Conduct | None = None) -> None:
        self.clock = clock
        self.conduct = conduct or Conduct()
        self.apps = {app.client_id: app for app in apps}
        self.memory = Memory(clock)
        self.records = Records(self.today)
        self.keys = SigningKeys()

    def today(self) -> date:
        return self.clock().date()

    async def at(self, place: Place) -> None:
        """Wait here when this EHR hangs at that place."""
        if place in self.conduct.hanging:
            await anyio.sleep(self.conduct.hang_seconds)

    def server(self, request: Request, app_keys: KeySet | None = None) -> SmartServer:
        return SmartServer(root_of(request), self.conduct, self.apps, self.memory, self.keys, self.clock, app_keys)

    async def keys_of(self, assertion: str) -> KeySet | None:
        """The keys of the app that an assertion names, read anew each time; None when there are none."""
        try:
            claims = json.decode(jws.extract_compact(assertion.encode()).payload)
            app = self.apps[claims["sub"]]
            if app.jwks is not None:
                return KeySet.import_key_set(app.jwks)  # type: ignore[arg-type]  # as the app registered it
            if app.jwks_url is None:
                return None
            _, body, _ = await fetch_bytes(app.jwks_url, limit=SET_BYTES, seconds=KEY_SECONDS)
            return KeySet.import_key_set(json.decode(body))
        except (JoseError, DecodeError, DataUnavailable, UnicodeError, KeyError, TypeError, ValueError):
            return None

    def launch(self, context: Context) -> str:
        """The opaque value of an EHR launch: good once, and not for long."""
        return self.memory.launches.add(context, self.conduct.launch_seconds)


def root_of(request: Request) -> str:
    """The address of this EHR as it was asked: scheme, host and prefix."""
    return str(request.base_url).rstrip("/") + PREFIX
