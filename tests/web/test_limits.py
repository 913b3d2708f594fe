"""Bodies at each limit, and one step beyond it (R14, R15, R16): refused quickly, and without a lasting cost."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cds.cdshooks.wire import MAX_STRING, MAX_VALUES
from cds.fhir.bounds import too_long_string, too_many_values
from tests.cdshooks.charts import kidney
from tests.cdshooks.desk import PATH, Desk, outcome
from tests.web.hostile import beside, bodies, deep, values

QUICKLY = 2.0
"""Seconds within which anything hostile must be refused on a machine that has other work."""


def call(desk: Desk) -> bytes:
    return json.dumps(desk.call(kidney()), separators=(",", ":")).encode()


def count(text: bytes) -> int:
    """Values of a JSON text, counted by parsing it."""

    def of(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(of, inner))

    return of(json.loads(text))


@pytest.mark.proves("R14", "200,000 values: 200; 200,001: 413")
@pytest.mark.parametrize("shape", ["[1,1,…]", "[[],[],…]", '["","",…]'])
def test_r14_two_hundred_thousand_values_and_one_more(desk: Desk, shape: str) -> None:
    body = call(desk)
    most = MAX_VALUES - count(body) - 1
    full = beside(body, values(shape, most))
    assert count(full) == MAX_VALUES
    assert desk.post(full).status_code == 200
    began = time.monotonic()
    response = desk.post(beside(body, values(shape, most + 1)))
    assert (response.status_code, outcome(response)["code"]) == (413, "too-long")
    assert time.monotonic() - began < QUICKLY
    assert desk.post(beside(body, values(shape, most + 1)), f"{PATH}/feedback").status_code == 413


def test_r14_commas_and_brackets_in_a_string_are_no_values(desk: Desk) -> None:
    assert desk.post(beside(call(desk), b'"' + b"[,{" * 300_000 + b'"')).status_code == 200


@pytest.mark.proves("R14", "a string of 1,048,576 bytes: 200; of 1,048,577: 413")
@pytest.mark.parametrize("unit", [b"a", b'\\"', b'":', "é".encode(), b"\\\\"])
def test_r14_a_string_of_one_mebibyte_and_one_byte_more(desk: Desk, unit: bytes) -> None:
    unit = unit if unit != b'":' else b'\\":'
    text = unit * (MAX_STRING // len(unit))
    text += b"a" * (MAX_STRING - len(text))
    body = call(desk)
    assert desk.post(beside(body, b'"' + text + b'"')).status_code == 200
    for where in (b'"a' + text + b'"', b'["' + text + b'a"]', b'{"' + text + b'a":1}'):
        response = desk.post(beside(body, where))
        assert (response.status_code, outcome(response)["code"]) == (413, "too-long")


@pytest.mark.proves("R14", "depth 64: 200; 65: 400, on calls and on feedback")
@pytest.mark.parametrize("path", [PATH, f"{PATH}/feedback"])
def test_r14_depth_sixty_four_and_one_more(desk: Desk, path: str) -> None:
    body = call(desk) if path == PATH else b'{"feedback":[]}'
    assert desk.post(beside(body, deep(63)), path).status_code == 200
    assert desk.post(beside(body, deep(64)), path).status_code == 400


@pytest.mark.proves("R14", "integers of -2^63 and 2^63-1: 200; one beyond either: 400")
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_r14_integers_have_64_bits(desk: Desk, number: int) -> None:
    whole = {"resourceType": "Observation", "subject": {"reference": "Patient/p1"}, "status": "final"}
    for value, status in ((number, 200), (number + (1 if number > 0 else -1), 400)):
        for members in ({"valueInteger": value}, {"component": [{"valueInteger": value}]}):
            given = desk.call(kidney())
            given["prefetch"]["pregnancyStatus"] = {
                "resourceType": "Bundle",
                "type": "searchset",
                "entry": [{"resource": whole | members}],
            }
            assert desk.post(given).status_code == status


HOSTILE_ALL_OVER = {
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "UTF-32": lambda body: body.decode().encode("utf-32"),
    "NUL": lambda body: body + b"\0",
    "two documents": lambda body: body + body,
    "cut off": lambda body: body[:-1],
}
HOSTILE_MEMBER = {
    "NaN": b"NaN",
    "-NaN": b"-NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "a plus sign": b"+1",
    "hexadecimal": b"0x10",
    "a leading zero": b"01",
    "no digit after the point": b"1.",
    "no digit after the e": b"1e",
    "a single quote": b"'a'",
    "a comment": b"/**/1",
    "a comma too many": b"[1,]",
    "a lone high surrogate": b'"\\ud800"',
    "a high surrogate before a letter": b'"\\ud800a       "',
    "two high surrogates": b'"\\ud800\\ud800"',
    "a lone low surrogate": b'"\\udc00"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "an overlong slash": b'"\xc0\xaf"',
    "a cut letter": b'"\xe2\x82"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "Latin-1": b'"caf\xe9"',
    "a line break in a string": b'"a\nb"',
    "a NUL in a string": b'"a\0b"',
    "an unknown escape": b'"\\x41"',
}


@pytest.mark.proves("R15", "30 kinds of broken JSON, 24 of them in a member that nobody reads: each 400 on both routes")
@pytest.mark.parametrize("kind", [*HOSTILE_ALL_OVER, *HOSTILE_MEMBER])
def test_r15_what_is_no_json_gets_400_wherever_it_stands(desk: Desk, kind: str) -> None:
    for body, path in ((call(desk), PATH), (b'{"feedback":[]}', f"{PATH}/feedback")):
        spoil = HOSTILE_ALL_OVER.get(kind)
        sent = [spoil(body)] if spoil else []
        if kind in HOSTILE_MEMBER:
            value = HOSTILE_MEMBER[kind]
            sent = [beside(body, value), beside(body, b'[{"a":%s}]' % value)]
            sent += [body.replace(b'"context":{', b'"context":{"a":%s,' % value, 1)] if path == PATH else []
            sent += [body.replace(b'"resourceType"', b'"a":%s,"resourceType"' % value, 1)] if path == PATH else []
        for one in sent:
            assert desk.post(one, path).status_code == 400
    assert desk.answers() == []


PLACES = {
    "a value that a model reads": lambda body, n: body.replace(b'"value":310', b'"value":' + n),
    "the extension": lambda body, n: body[:-1] + b',"extension":{"com.x":[' + n + b"]}}",
    "a token's life": lambda body, n: body[:-1] + b',"fhirServer":"https://a.example","fhirAuthorization":{"access_token":"t",'
    b'"token_type":"Bearer","expires_in":' + n + b',"scope":"","subject":"s"}}',
}  # fmt: skip


@pytest.mark.proves("R15", "7 spellings of a number beyond a double's range, in 3 places: each 400")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "number", [b"1e999", b"-1e999", b"1E+999", b"0.1e400", b"1" * 310 + b".0", b"9" * 5000, b"1e99999999999"]
)
def test_r15_a_number_that_no_double_holds_gets_400(desk: Desk, place: str, number: bytes) -> None:
    body = call(desk)
    spoiled = PLACES[place](body, number)
    assert spoiled != body
    assert desk.post(spoiled).status_code == 400


@pytest.mark.proves("R15", "a number that nobody reads is never made one: 1e999 there changes no byte of the answer")
def test_r15_a_number_that_nobody_reads_is_never_made_one(desk: Desk) -> None:
    body = call(desk)
    said = desk.post(body).json()["cards"][0]
    unread = desk.post(body.replace(b'"resourceType"', b'"unknown":1e999,"resourceType"')).json()["cards"][0]
    assert (said["summary"], said["detail"]) == (unread["summary"], unread["detail"])
    assert "inf" not in json.dumps(unread).lower().replace("info", "")


@pytest.mark.proves("R15", "D22: of two equal members the last wins, and -0 is a number")
def test_r15_d22_the_last_of_two_equal_members_wins_and_minus_zero_is_a_number(desk: Desk) -> None:
    body = call(desk)
    assert desk.post(b'{"hook":"order-sign",' + body[1:]).status_code == 200
    assert desk.post(body[:-1] + b',"hook":"order-sign"}').status_code == 400
    assert desk.post(body.replace(b'"value":310', b'"value":-0')).status_code == 200


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"[1]", b'{"a":[1,{"b":""}]}', b'["a,b",[[]],{}]', b" [ 1 , [ ] , { } ] "]
)
def test_values_are_counted_as_a_parser_counts_them(text: bytes) -> None:
    held = count(text) if text else 1
    assert not too_many_values(text, held)
    assert too_many_values(text, held - 1)


def test_a_string_that_is_never_closed_is_as_long_as_what_is_left() -> None:
    assert too_long_string(b'{"a":"' + b"x" * 100, 50)
    assert not too_long_string(b'{"a":"' + b"x" * 40 + b'","b":"' + b"x" * 40 + b'"}', 50)


@pytest.mark.proves("R14", "resident memory grows by less than 50 MB over the hostile set, sent three times")
def test_r14_the_hostile_set_leaves_no_memory_behind(desk: Desk) -> None:
    """In a process of its own, so that nothing else's memory is counted."""
    assert len(bodies(call(desk))) >= 12
    command = [sys.executable, "-m", "tests.web.hostile"]
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(command, cwd=root, input=call(desk), capture_output=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr.decode()
    grown, slowest = json.loads(run.stdout)
    assert grown < 50e6
    assert slowest < QUICKLY
