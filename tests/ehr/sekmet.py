"""A FHIR server that others wrote (sekmet-fhir), with SMART Backend Services, filled with what a test gives it.

Every search that the kidney model makes is one that it supports, and without _count it gives pages of 20. What it lacks
(0.1.1), so that no test expects it: an authorization_code flow; gzip; any search parameter of RiskAssessment, which it
keeps and reads by id. A parameter that it does not know it passes over, with a warning in the Bundle, unless the
request says `Prefer: handling=strict`.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.conftest import ROOT
from tests.ehr.running import free_port

SCOPE = "system/*.cruds"
BATCH = 250
Json = dict[str, Any]


class Sekmet:
    """The running server; `token` is what its token endpoint gave for a signed assertion."""

    def __init__(self, origin: str, key: ECKey, public: str) -> None:
        self.origin, self.fhir_base, self._key = origin, f"{origin}/fhir", key
        self._public = public
        self.token = ""

    def sign_in(self) -> None:
        """SMART Backend Services: a JWT of ours for a token of theirs."""
        url = f"{self.origin}/auth/token"
        claims = {
            "iss": "bedside",
            "sub": "bedside",
            "aud": f"{self._public}/auth/token",
            "jti": secrets.token_urlsafe(16),
        }
        header = {"alg": "ES384", "kid": "bedside-1", "typ": "JWT"}
        signed = jwt.encode(header, claims | {"exp": int(time.time()) + 240}, self._key, ["ES384"])
        form = {
            "grant_type": "client_credentials",
            "scope": SCOPE,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
        }
        answer = httpx.post(url, data=form, timeout=10)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]

    def load(self, resources: Iterable[Json]) -> int:
        """PUT each resource under its id, many at a time; how many there were."""
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources
        ]
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for start in range(0, len(entries), BATCH):
            bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries[start : start + BATCH]}
            answer = httpx.post(self.fhir_base, json=bundle, headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
            statuses = {entry["response"]["status"][:3] for entry in answer.json()["entry"]}
            assert statuses <= {"200", "201"}, statuses
        return len(entries)


@contextmanager
def sekmet(
    folder: Path, factory: str = "sekmet.main:app_factory", types: str = "smart", *, public: str | None = None,
    keys: Sequence[Mapping[str, Any]] = (), token_seconds: int = 3600, enforce_scopes: bool = True,
) -> Iterator[Sekmet]:  # fmt: skip
    """The server on a free port, with its database and its settings in `folder`; `types` "none" asks for no token.

    `public`: the origin by which it calls itself, of a proxy before it. `keys`: public keys of ours that it takes too.
    With `enforce_scopes` it refuses the status of an export to a token that may not read every type.
    """
    port = free_port()
    origin = public or f"http://127.0.0.1:{port}"
    key = ECKey.generate_key("P-384", {"kid": "bedside-1", "use": "sig", "alg": "ES384"})
    client = {"client_id": "bedside", "jwks": {"keys": [key.as_dict(private=False), *keys]}, "scopes": SCOPE}
    settings = {
        "base_url": f"{origin}/fhir",
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder),
        "own_private_key_path": str(folder / "none.pem"),
        "server_auth": {
            "types": [types],
            "smart_clients": [client],
            "enforce_scopes": enforce_scopes,
            "token_lifetime": token_seconds,
        },
        "simulator": {"enabled": False, "delay_seconds": 0.2},
        "log_inbound": False,
    }
    (folder / "settings.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML too
    place = ["--factory", "--app-dir", str(ROOT), "--port", str(port)]
    command = [sys.executable, "-m", "uvicorn", factory, *place]
    log = (folder / "log.txt").open("wb")
    with log:
        process = subprocess.Popen(
            [*command, "--log-level", "warning"],
            cwd=folder, env={"SEKMET_CONFIG": str(folder / "settings.yaml"), "PATH": ""}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            server = Sekmet(f"http://127.0.0.1:{port}", key, origin)
            wait_for(f"{server.fhir_base}/metadata", process)
            if types == "smart":
                server.sign_in()
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for(url: str, process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
    """Until the URL answers 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the server did not start: exit {process.returncode}")
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the server was not ready within {seconds:.0f} seconds")
