"""How deep JSON may nest: 64 levels in every layout; what is deeper, by the layouts that the quick look knows (R14)."""

from random import Random

import pytest

from cds.cdshooks.wire import read_call
from cds.errors import MalformedRequest
from cds.fhir.bounds import too_deep

LIMIT = 64
TEXTS = ["", "}" * 70, "[" * 70, '\\"}]' * 30, "\\\\", '{\\"a\\": [1]}', "é"]
SPACES = ["", " ", "\n", "\t", "\r\n  "]


def nested(random: Random, levels: int, spaces: list[str]) -> bytes:
    """An object that nests so deep: arrays and objects in any order, with members, strings and space about them."""
    opened, closed = [], []
    for level in range(levels):
        space, beside = random.choice(spaces), random.choice(["", f'"{random.choice(TEXTS)}",', "[{}],", "1,"])
        if level == 0 or random.random() < 0.5:
            member = beside and f'"n":{beside}'
            opened.append(f'{{{space}{member}"x":{space}')
            closed.append(random.choice(["", f',"t":"{random.choice(TEXTS)}"', ',"u":{}']) + space + "}")
        else:
            opened.append(f"[{space}{beside}{space}")
            closed.append(random.choice(["", f',{space}"{random.choice(TEXTS)}"', ",[]"]) + space + "]")
    return ("".join(opened) + "0" + "".join(reversed(closed))).encode()


def depth(text: bytes) -> int:
    """By the letter, one byte at a time."""
    deepest = level = 0
    within = escaped = False
    for byte in text.decode():
        if escaped:
            escaped = False
        elif within:
            escaped, within = byte == "\\", byte != '"'
        elif byte == '"':
            within = True
        else:
            level += (byte in "{[") - (byte in "}]")
            deepest = max(deepest, level)
    return deepest


@pytest.mark.proves("R14", "1,000 random nestings of at most 64 levels, in any layout: 0 refused")
def test_r14_no_layout_of_sixty_four_levels_is_refused() -> None:
    random = Random(64)
    for _ in range(1_000):
        text = nested(random, random.randint(1, 62), SPACES)
        assert depth(text) <= LIMIT
        assert not too_deep(text, LIMIT)


@pytest.mark.proves("R14", "1,000 random nestings with line ends, around 64 levels: refused exactly when deeper")
def test_r14_with_line_ends_sixty_four_is_the_exact_limit() -> None:
    random = Random(65)
    seen = set()
    for _ in range(1_000):
        text = b"\n" + nested(random, random.randint(58, 70), SPACES)
        seen.add(depth(text))
        assert too_deep(text, LIMIT) is (depth(text) > LIMIT)
    assert {LIMIT, LIMIT + 1} <= seen


@pytest.mark.proves("R14", "arrays, objects and both by turns, on one line: 64 levels accepted, 65 refused")
@pytest.mark.parametrize("levels", [64, 65])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"a":[', "]}")], ids=str)
def test_r14_on_one_line_the_usual_bombs_have_the_exact_limit(pair: tuple[str, str], levels: int) -> None:
    each = pair[1].count("]") + pair[1].count("}")
    opened, closed = pair[0] * (levels // each), pair[1] * (levels // each)
    text = (opened + closed if each == 1 or levels % 2 == 0 else f"[{opened}{closed}]").encode()
    assert depth(text) == levels
    assert too_deep(text, LIMIT) is (levels > LIMIT)


@pytest.mark.proves("R14", "60,000 levels in 5 layouts without a run of closers: 400, by the decoder's own limit")
@pytest.mark.parametrize("pair", [("[ ", " ]"), ('{"a":', ',"b":1}'), ("[1,", ",1]"), ("[\t", "\n]"), ("[", ",[]]")])
def test_r14_what_the_quick_look_lets_through_ends_at_the_decoders_limit(pair: tuple[str, str]) -> None:
    bomb = pair[0] * 60_000 + "1" + pair[1] * 60_000
    body = f'{{"hook":"patient-view","unknown":{bomb}}}'.encode()
    assert not too_deep(body, LIMIT)
    with pytest.raises(MalformedRequest):
        read_call(body, frozenset({"patient-view"}))
