"""A connection goes to the very address that was checked, and TLS still asks for the name (R11)."""

import datetime as dt
import ssl
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cds.errors import DataUnavailable
from cds.fhir.http import PIN_SECONDS, PinnedTransport, fetch_bytes
from tests.fhir.loopback import Asked, Loopback, Reply


class Flipping:
    """A resolver that gives another answer each time; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def closing(_: Asked) -> Reply:
    """An answer after which the client must connect anew."""
    return 200, {"connection": "close"}, b"{}"


async def asked(transport: httpx.AsyncBaseTransport, port: int, times: int = 1, name: str = "localhost") -> None:
    """The same client asks again and again, with a connection each time."""
    async with httpx.AsyncClient(transport=transport) as client:
        for _ in range(times):
            await client.get(f"http://{name}:{port}/")


@pytest.mark.proves(
    "R11", "a resolver that flips after the check: 20 connections to the first address, 0 to the second"
)
async def test_a_resolver_that_flips_is_not_followed() -> None:
    with Loopback(closing) as first, Loopback(closing, host="127.0.0.2", port=first.port) as second:
        resolver = Flipping(["127.0.0.1"], ["127.0.0.2"])
        await asked(PinnedTransport(resolver), first.port, times=20)
        assert (resolver.asked, first.connections, second.connections) == (1, 20, 0)


@pytest.mark.proves("R11", "a name that comes to lead to the metadata service: 0 connections there")
async def test_a_name_that_comes_to_lead_to_a_forbidden_address_is_not_asked() -> None:
    now = [0.0]
    with Loopback(closing) as first:
        transport = PinnedTransport(Flipping(["127.0.0.1"], ["169.254.169.254"]), clock=lambda: now[0])
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(f"http://localhost:{first.port}/")
            now[0] += PIN_SECONDS + 1
            with pytest.raises(httpx.UnsupportedProtocol, match="forbidden address"):
                await client.get(f"http://localhost:{first.port}/")
        assert first.connections == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1"])
async def test_a_registered_name_does_not_lead_into_this_machine(address: str) -> None:
    with Loopback(closing) as inside:
        transport = PinnedTransport(Flipping([address]))
        with pytest.raises(DataUnavailable, match="never asked"):
            await fetch_bytes(f"http://ehr.example:{inside.port}/", limit=9, seconds=2, transport=transport)
        assert inside.connections == 0


async def test_the_next_address_is_tried_when_the_first_is_dead() -> None:
    with Loopback(closing) as alive:
        resolver = Flipping(["127.0.0.9", "127.0.0.1"])
        await asked(PinnedTransport(resolver), alive.port)
        assert alive.connections == 1


async def test_a_name_that_leads_nowhere_is_resolved_anew() -> None:
    with Loopback(closing) as moved:
        transport = PinnedTransport(resolver := Flipping(["127.0.0.9"], ["127.0.0.1"]))
        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://localhost:{moved.port}/")
            await client.get(f"http://localhost:{moved.port}/")
        assert (resolver.asked, moved.connections) == (2, 1)


async def test_a_name_without_address_is_unavailable() -> None:
    transport = PinnedTransport(Flipping([]))
    with pytest.raises(DataUnavailable, match="ConnectError"):
        await fetch_bytes("http://ehr.example/", limit=9, seconds=2, transport=transport)


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for a server of that name, and for a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_tls_and_the_host_header_keep_the_name(tmp_path: Path) -> None:
    named: list[str] = []
    server, client = certificate("localhost", tmp_path)
    server.sni_callback = lambda _socket, name, _context: named.append(name)
    with Loopback(closing, context=server) as ehr:
        transport = PinnedTransport(Flipping(["127.0.0.1"]), client)
        url = f"https://localhost:{ehr.port}/"
        assert (await fetch_bytes(url, limit=9, seconds=5, transport=transport))[0] == 200
        assert named == ["localhost"]
        assert ehr.seen[0].headers["host"] == f"localhost:{ehr.port}"


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server, client = certificate("elsewhere.example", tmp_path)
    with Loopback(closing, context=server) as ehr:
        transport = PinnedTransport(Flipping(["127.0.0.1"]), client)
        with pytest.raises(DataUnavailable, match="ConnectError"):
            await fetch_bytes(f"https://localhost:{ehr.port}/", limit=9, seconds=5, transport=transport)
        assert ehr.seen == []
