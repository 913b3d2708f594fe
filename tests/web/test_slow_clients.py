"""Clients that say little, or never stop saying it, are hung up on while others are answered (R14, R18)."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from tests.cdshooks.charts import kidney
from tests.cdshooks.desk import PATH, Desk
from tests.web.served import Address, dial, heard, in_a_hurry, served, status

HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % PATH.encode()
SECONDS = 0.6
GENEROUS = 15.0
"""A bound against hanging, not a measurement: the machine that runs this may have other work."""


@pytest.fixture
def address(desk: Desk) -> Iterator[Address]:
    with served(desk.app, in_a_hurry(SECONDS)) as found:
        yield found


def drip(address: Address, start: bytes, more: bytes) -> tuple[bytes, float]:
    """What is heard by a client that sends a byte now and then, and after how long."""
    connection, began = dial(address, start), time.monotonic()
    stop = threading.Event()

    def on_and_on() -> None:
        while not stop.wait(SECONDS / 10):
            try:
                connection.sendall(more)
            except OSError:
                return

    dripping = threading.Thread(target=on_and_on, daemon=True)
    dripping.start()
    answer = heard(connection)
    stop.set()
    dripping.join(5)
    return answer, time.monotonic() - began


@pytest.mark.proves("R18", "headers sent byte by byte: 408 and closed when their time is over")
@pytest.mark.parametrize("start", [HEAD + b"X-A: ", b"G", b"\r\n"])
def test_r18_headers_that_never_end_are_hung_up_on(address: Address, start: bytes) -> None:
    answer, seconds = drip(address, start, b"a" if start != b"\r\n" else b"\r\n")
    assert status(answer) in (0, 400, 408)
    assert SECONDS * 0.9 < seconds < GENEROUS or status(answer) == 400


@pytest.mark.proves("R18", "a body sent byte by byte, with and without a length: 408 and closed when its time is over")
@pytest.mark.parametrize(
    ("length", "more"),
    [(b"Content-Length: 100000\r\n\r\n", b" "), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")],
)
def test_r18_a_body_that_never_ends_is_hung_up_on(desk: Desk, address: Address, length: bytes, more: bytes) -> None:
    answer, seconds = drip(address, POST + length, more)
    assert status(answer) == 408
    assert b"OperationOutcome" in answer
    assert SECONDS * 0.9 < seconds < GENEROUS
    assert desk.state.in_progress == 0


def test_r18_the_second_request_of_a_connection_has_no_more_time(address: Address) -> None:
    connection = dial(address, HEAD + b"\r\n")
    assert status(connection.recv(65_536)) == 200
    time.sleep(SECONDS / 2)
    connection.sendall(HEAD)
    assert status(heard(connection)) == 408


def test_r18_an_early_answer_does_not_make_the_rest_of_the_body_welcome(address: Address) -> None:
    answer, seconds = drip(address, POST + b"Content-Length: 900000000\r\n\r\n", b" ")
    assert status(answer) == 413
    assert answer.count(b"HTTP/1.1") == 1
    assert seconds < GENEROUS


@pytest.mark.proves("R18", "500 idle connections are all closed, and 20 of 20 calls are answered meanwhile")
def test_r18_five_hundred_idle_connections_are_closed_and_others_are_answered(desk: Desk) -> None:
    body = json.dumps(desk.call(kidney()))
    with served(desk.app, in_a_hurry(2.0)) as address:
        idle = [dial(address, (b"", HEAD, POST + b"Content-Length: 9\r\n\r\n{")[n % 3]) for n in range(500)]
        with httpx.Client(base_url=f"http://127.0.0.1:{address[1]}") as client:
            headers = {"Content-Type": "application/json"}
            calls = [client.post(PATH, content=body, headers=headers) for _ in range(20)]
        assert [call.status_code for call in calls] == [200] * 20
        said = [status(heard(connection)) for connection in idle]
    assert {n: said.count(n) for n in set(said)} == {0: 167, 408: 333}


def with_headers(total: int, path: str = "/health/live") -> bytes:
    """A request whose address and headers are this long, each header counted with its colon, space and line's end."""
    start = b"GET %s HTTP/1.1\r\n" % path.encode()
    host = b"Host: localhost\r\nConnection: close\r\n"
    left = total - len(path) - len(host)
    pads = [b"X-Pad-%d: " % n + b"a" * 2_000 + b"\r\n" for n in range(left // 4_000)]
    left -= sum(map(len, pads))
    return start + host + b"".join(pads) + b"X-Last: " + b"a" * (left - len(b"X-Last: \r\n")) + b"\r\n\r\n"


@pytest.mark.proves("R14", "headers of 16,384 bytes: 200; of 16,385: 431")
@pytest.mark.parametrize("size", [16_384, 16_385, 60_000, 1_000_000])
def test_r14_headers_have_sixteen_kibibytes(address: Address, size: int) -> None:
    connection = dial(address)
    try:
        connection.sendall(with_headers(size))
    except OSError:
        assert size == 1_000_000  # hung up on before it was all said
    answer = heard(connection)
    assert status(answer) == (200 if size == 16_384 else 431) or (size == 1_000_000 and not answer)


@pytest.mark.proves("R14", "one header without an end: 431 within 32 KiB")
def test_r14_one_header_without_an_end_is_hung_up_on(address: Address) -> None:
    connection = dial(address, HEAD + b"X-A: ")
    for _ in range(16):
        time.sleep(0.005)
        try:
            connection.sendall(b"a" * 2_048)
        except OSError:
            break
    answer = heard(connection)
    assert status(answer) in (0, 431)
    assert b"408" not in answer


def test_r14_trailers_are_headers_too(address: Address) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    answer = heard(dial(address, chunked + b"X-Trailer: " + b"a" * 17_000 + b"\r\n\r\n"))
    assert status(answer) in (0, 400, 431)
    assert answer.count(b"HTTP/1.1") <= 1


def test_what_is_no_http_gets_400_and_an_outcome(address: Address) -> None:
    answer = heard(dial(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"))
    assert status(answer) == 400
    assert b"OperationOutcome" in answer


def test_requests_in_one_packet_are_answered_in_turn(address: Address) -> None:
    last = HEAD + b"Connection: close\r\n\r\n"
    answer = heard(dial(address, (HEAD + b"\r\n") * 3 + last))
    assert answer.count(b"HTTP/1.1 200") == 4


def test_no_websocket_is_opened(address: Address) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    with closing(dial(address, HEAD + upgrade + b"\r\n")) as connection:
        assert status(connection.recv(65_536)) == 200


def test_a_call_over_the_protocol_is_a_call(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    body = json.dumps(desk.call(kidney()))
    with served(desk.app) as address:
        headers = {"Content-Type": "application/json"}
        said = httpx.post(f"http://127.0.0.1:{address[1]}{PATH}", content=body, headers=headers)
    assert said.content == desk.post(body).content
