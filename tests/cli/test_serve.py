"""What `bedside serve` refuses, what it says, and what the process it becomes is allowed to do."""

import re
import shutil
import signal
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from cds.ledger import Keyring, Ledger
from cds.web.server import configuration
from tests.cli.command import bedside
from tests.trust.ehr import ISSUER, key, public, token
from tests.web.process import SITE, Served, wait_until


@pytest.fixture
def server(tmp_path: Path) -> Any:
    empty = tmp_path / "empty.sqlite"
    Ledger.open(f"sqlite:///{empty}", Keyring.generate(), create=True).close()
    shutil.copy(empty, tmp_path / "ledger.sqlite")
    server = Served(tmp_path, empty)
    server.write()
    yield server
    server.end()


def registered() -> str:
    (only,) = public(key())
    jwks = ", ".join(f'{name} = "{value}"' for name, value in only.items())
    return f'[[clients]]\ntenant = "north"\nissuer = "{ISSUER}"\njwks = {{ keys = [{{ {jwks} }}] }}\n'


def with_clients(server: Served) -> None:
    text = SITE.format(drain=0, percent=5, region="north-america", more='public_url = "https://cds.example.org"')
    text = text.replace('"open-on-loopback"', '"clients"')
    (server.folder / "site.toml").write_text(text + registered(), encoding="utf-8")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_whoever_proves_nothing_is_served_on_this_machine_only(server: Served, host: str) -> None:
    done = bedside("serve", "--site", str(server.folder), "--host", host)
    assert done.returncode == 4
    assert done.stderr == f'refused: {host} is reachable by others, and only trust = "clients" asks who calls\n'
    assert bedside("serve", "--demo", "--host", host).returncode == 4


def test_what_is_no_address_is_a_usage_error(server: Served) -> None:
    assert bedside("serve", "--site", str(server.folder), "--host", "cds.example.org").returncode == 2


def test_a_site_that_does_not_say_who_may_call_is_not_served(tmp_path: Path) -> None:
    done = bedside("serve", "--site", str(tmp_path))
    assert done.returncode == 4
    assert "bedside client add" in done.stderr


def test_registered_clients_are_served_on_every_address_behind_tls(server: Served) -> None:
    with_clients(server)
    server.start("--host", "0.0.0.0")
    assert (
        "0.0.0.0 is reachable by others, and speaks plain HTTP: have a proxy with TLS in front of it." in server.log()
    )
    assert "north: kidney-failure-risk: live" in server.log()
    assert "Discovery: https://cds.example.org/cds-services" in server.log()
    assert httpx.get(f"{server.base}/cds-services").status_code == HTTPStatus.UNAUTHORIZED
    server.tell(signal.SIGTERM)
    assert server.running.wait(30) == 0


def knock(server: Served) -> int:
    """The status that the registered client gets for discovery, with a good token."""
    now = int(time.time())
    sent = token(aud="https://cds.example.org/cds-services", iat=now, exp=now + 300, jti=str(uuid.uuid4()))
    return httpx.get(f"{server.base}/cds-services", headers={"Authorization": f"Bearer {sent}"}).status_code


@pytest.mark.proves("R56", "a client revoked in site.toml: 200 before SIGHUP, 401 after, in the same process")
def test_a_client_that_is_revoked_is_refused_after_a_hang_up(server: Served) -> None:
    with_clients(server)
    server.start()
    assert knock(server) == HTTPStatus.OK
    path = server.folder / "site.toml"
    path.write_text(f"{path.read_text(encoding='utf-8')}revoked = true\n", encoding="utf-8")
    assert knock(server) == HTTPStatus.OK
    server.tell(signal.SIGHUP)
    wait_until(lambda: "configuration taken" in server.log())
    assert knock(server) == HTTPStatus.UNAUTHORIZED
    assert server.status()[1]["configuration"] == "current"


@pytest.mark.proves("R30", "no core dump (soft and hard limit 0), and no page that describes the API: 4 of 4 are 404")
def test_a_crash_leaves_no_core_and_no_page_describes_the_api(server: Served) -> None:
    server.start()
    limits = Path(f"/proc/{server.running.pid}/limits").read_text(encoding="utf-8")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
    for path in ("/docs", "/redoc", "/openapi.json", "/debug"):
        assert httpx.get(f"{server.base}{path}").status_code == HTTPStatus.NOT_FOUND


async def seen(proxies: tuple[str, ...], client: str) -> tuple[str, str]:
    """Address and scheme that the application sees of a call from `client` that claims to be forwarded."""
    scopes: list[Any] = []

    async def application(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        scopes.append(scope)

    config = configuration(application, "127.0.0.1", 8080, proxies)
    config.load()
    headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "client": (client, 50_000), "scheme": "http", "headers": headers}
    await config.loaded_app(scope, None, None)
    return scopes[0]["client"][0], scopes[0]["scheme"]


@pytest.mark.proves(
    "R8", "X-Forwarded-For and -Proto from 3 addresses that are no proxy, this machine's too: not believed"
)
async def test_only_the_sites_proxies_are_believed_about_who_calls() -> None:
    proxies = ("10.1.2.3", "10.9.0.0/16")
    for proxy in ("10.1.2.3", "10.9.7.7"):
        assert await seen(proxies, proxy) == ("203.0.113.9", "https")
    for stranger in ("10.1.2.4", "127.0.0.1", "203.0.113.1"):
        assert await seen(proxies, stranger) == (stranger, "http")
        assert await seen((), stranger) == (stranger, "http")


@pytest.mark.parametrize("proxies", ['["*"]', '["proxy.example.org"]', '["10.0.0.1/8"]', '[""]'])
def test_a_proxy_is_named_by_its_address(server: Served, proxies: str) -> None:
    server.write(more=f"proxies = {proxies}")
    done = bedside("serve", "--site", str(server.folder))
    assert done.returncode == 2
    assert "proxies" in done.stderr
