"""An OpenID provider that others wrote (npm oidc-provider), for what must not be proved against our own server."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from tests.ehr.npm import peers
from tests.ehr.running import free_port
from tests.ehr.sekmet import wait_for


class Provider(Struct, frozen=True):
    """The running provider and its one client, which is public."""

    issuer: str
    client_id: str
    redirect_uri: str


@contextmanager
def openid_provider(redirect_uri: str, fhir_base: str, client_id: str = "bedside-test") -> Iterator[Provider]:
    """The provider on a free port. Its one clinician is signed in without being asked; codes need PKCE.

    `fhir_base`: where that clinician has a Practitioner.
    """
    folder, port = peers(), free_port()
    process = subprocess.Popen(
        ["node", "server.mjs", str(port), client_id, redirect_uri, fhir_base], cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "NODE_ENV": "production"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        issuer = f"http://127.0.0.1:{port}"
        wait_for(f"{issuer}/.well-known/openid-configuration", process)
        yield Provider(issuer, client_id, redirect_uri)
    finally:
        process.terminate()
        process.wait(timeout=20)
