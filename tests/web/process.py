"""Starts `bedside serve` as a site would: a process of its own, a folder with site.toml, a real socket."""

import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from cds.ledger import Keyring
from tests.cdshooks.desk import PATH
from tests.cli.command import COMMAND, ROOT, environment

SITE = """
trust = "open-on-loopback"
answer_seconds = 20
drain_seconds = {drain}
{more}
[services.kidney-failure-risk]
stage = "live"
[models.kfre]
region = "{region}"
referral_percent = {percent}
"""


def fresh(call: Any) -> Any:
    """The call as another one: no answer is repeated."""
    return call | {"hookInstance": str(uuid.uuid4())}


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """One server process on `port`; `start` returns when it is ready."""

    def __init__(self, folder: Path, empty_ledger: Path, *, keyring: Keyring | None = None) -> None:
        self.folder = folder
        self.database = folder / "ledger.sqlite"
        if not self.database.exists():
            shutil.copy(empty_ledger, self.database)
        self.keyring = keyring or Keyring.generate()
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, *, drain: float = 0, percent: float = 5, region: str = "north-america", more: str = "") -> None:
        text = SITE.format(drain=drain, percent=percent, region=region, more=more)
        (self.folder / "site.toml").write_text(text, encoding="utf-8")

    def launch(self, *arguments: str, **variables: str) -> None:
        given = {"BEDSIDE_LEDGER": f"sqlite:///{self.database}", "BEDSIDE_LEDGER_KEY": self.keyring.text()}
        command = [*COMMAND, "serve", "--site", str(self.folder), "--port", str(self.port), *arguments]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(**given | variables), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def start(self, *arguments: str, **variables: str) -> None:
        self.launch(*arguments, **variables)
        deadline = time.monotonic() + 60
        while not self.ready():
            assert self.running.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None
        return self.process

    def status(self) -> tuple[int, Mapping[str, Any]]:
        try:
            answered = httpx.get(f"{self.base}/health/ready", timeout=10, trust_env=False)
        except httpx.TransportError:
            return 0, {}
        return answered.status_code, answered.json()

    def ready(self) -> bool:
        return self.status()[0] == 200

    def tell(self, signal: int) -> None:
        self.running.send_signal(signal)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def post(self, body: Any, client: httpx.Client | None = None) -> httpx.Response:
        headers = {"content-type": "application/json"}
        send = client.post if client is not None else httpx.post
        return send(f"{self.base}{PATH}", content=json.dumps(body).encode(), headers=headers, timeout=30)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
