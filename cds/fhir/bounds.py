"""How much JSON a text holds, judged from its bytes before anything is parsed."""

import re

_CLOSERS = (b"}" * 60, b"]" * 60, b"}]" * 30)  # long runs are found fast, and no FHIR resource ends in one
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, to the text's end when it is never closed: no byte is looked at twice."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_NOT_BEFORE_A_VALUE = bytes(set(range(256)) - set(b"{[,"))
_SPACE = b" \t\r\n"
_BLOCK = 65_536


def too_deep(text: bytes, limit: int) -> bool:
    """Whether JSON nests beyond `limit`; never True for one that does not.

    Counting brackets outside strings costs more than the decoding of a call itself. So only a text with the look of a
    bomb is counted: one with line ends near its start, or with a long run of closers. What nests beyond `limit` in
    another layout is let through, up to the limit that the decoder has of its own (about 1,000 levels).
    """
    if b"\n" not in text[:512] and not any(run in text for run in _CLOSERS):
        return False
    depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"{[" else -1
        if depth > limit:
            return True
    return False


def too_many_values(text: bytes, limit: int) -> bool:
    """Whether JSON holds more than `limit` values: objects, arrays, strings, numbers and words, but no member names.

    A value and what parts it from the next take two bytes at least, so a short text is never looked at, and a longer
    one only until what is left cannot hold what is missing.
    """
    before, seen = 1, 0
    while before + (len(text) - seen + 1) // 2 > limit:
        if seen == len(text):
            return _values(text) > limit  # a string may be full of commas: count again, without strings
        before += len(text[seen : seen + _BLOCK].translate(None, _NOT_BEFORE_A_VALUE))
        seen = min(seen + _BLOCK, len(text))
    return False


def _values(text: bytes) -> int:
    bare = _STRING.sub(b"0", text).translate(None, _SPACE)
    opened = bare.count(b"[") + bare.count(b"{")
    return 1 + bare.count(b",") + opened - bare.count(b"[]") - bare.count(b"{}")


def too_long_string(text: bytes, limit: int) -> bool:
    """Whether JSON holds a string of more than `limit` bytes between its quotes.

    Such a string covers one of the blocks of half its length, and so a block without a quote of its own. Only a text
    that has one is looked at string by string.
    """
    if len(text) <= limit:
        return False
    block = (limit + 1) // 2
    if all(_has_quote(text, start, start + block) for start in range(0, len(text) - block + 1, block)):
        return False
    return any(found.end() - found.start() > limit + 2 for found in _STRING.finditer(text))


def _has_quote(text: bytes, start: int, end: int) -> bool:
    """Whether a string surely begins or ends here: a quote that no backslash stands before."""
    quote = text.find(b'"', start + 1, end)
    while quote != -1 and text[quote - 1] == 0x5C:
        quote = text.find(b'"', quote + 1, end)
    return quote != -1
