"""Decides to which network addresses a registered name may lead, so that none leads into our machine or its cloud."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, best first. Raises OSError when it has none."""

_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254"))
)
"""Where clouds hand out credentials outside the link-local range: Amazon, Alibaba, Azure, Oracle, Google."""

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_RESERVED = ipaddress.ip_network("240.0.0.0/4")
_COMPATIBLE = ipaddress.ip_network("::/96")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class ForbiddenAddress(Exception):
    """A name leads where nothing of ours may go. Its text names no address."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system, in a thread of its own: a name server that hangs must not take the threads of all others."""
    executor = ThreadPoolExecutor(1, "resolve")
    try:
        found = await asyncio.get_running_loop().run_in_executor(
            executor, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def check(host: str, addresses: Sequence[str]) -> tuple[str, ...]:
    """The addresses, all of them fit for a connection. Raises ForbiddenAddress when one is not.

    A site registers each host, and a hospital's own lies in a private network: private addresses are fine. Never
    link-local, metadata, multicast, reserved or unspecified ones, however wrapped, and loopback only by its own name.
    """
    loopback = names_loopback(host)
    for text in addresses:
        if any(_forbidden(address, loopback) for address in _meanings(ipaddress.ip_address(text))):
            raise ForbiddenAddress("the server's name leads to an address that is never asked")
    return tuple(addresses)


def names_loopback(host: str) -> bool:
    """Whether a host says itself that it is this machine."""
    name = host.lower().strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _meanings(address: Address) -> list[Address]:
    """An address and the IPv4 addresses that it wraps: what a gateway on the way may unwrap."""
    if address.version == 4:
        return [address]
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if (address in _COMPATIBLE and int(address) > 1) or any(address in network for network in _NAT64):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(one for one in inner if one is not None)]


def _forbidden(address: Address, loopback: bool) -> bool:
    if address.is_loopback:
        return not loopback
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
        or (address.version == 4 and (address in _THIS_NETWORK or address in _RESERVED))
    )
