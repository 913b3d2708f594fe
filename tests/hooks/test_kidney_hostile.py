"""Text that somebody puts into a chart, and extreme values: no card does more than say it."""

import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

from cds import plain
from tests.cdshooks.charts import CREATININE, UACR, UPCR, Json, condition, kidney, lab, person
from tests.cdshooks.desk import Desk

PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![](http://t.example/p.png)",
    "[x](http://t.example)",
    "http://t.example/x",
    "https://t.example",
    "www.t.example",
    "ftp://t.example",
    "mailto:a@t.example",
    "a@t.example",
    "<http://t.example>",
    "a | b | c |",
    "|---|---|",
    "x\n| y | z |",
    "x\r\n\r\n# Head",
    "`code`",
    "```\nx",
    "**b**",
    "_i_",
    "~~s~~",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "x\u0000y",
    "\u200b\u200bx",
    "&lt;img&gt;",
    "&#x202e;x",
    "&#60;script&#62;",
    "[ref]: http://t.example",
    "\\<b>",
    "\\\\|",
    "- x",
    "1. x",
    "> q",
    "x" * 10_000,
    "\U0001f469\u200d\U0001f469",
    "a\u0301" * 50,
    "<!-- x",
    "](http://t.example)",
    "]]>",
    "$(x)",
    "{{context.patientId}}",
]
ACTIVE = re.compile(r"<(?!/?(p|strong|em|table|thead|tbody|tr|th|td|br|del)\b)[a-z!/]", re.IGNORECASE)
AUTOLINK = re.compile(r"(?<![\\])(https?://|ftp://|www\.|mailto:|[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.)", re.IGNORECASE)
FOREIGN = re.compile(r"<[^>]*\b(?:href|src|action|srcset|style|on[a-z]+)\s*=", re.IGNORECASE)
GUIDELINE = "https://kdigo.org/guidelines/ckd-evaluation-and-management/"
GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def worded(text: str) -> Json:
    """Members in which a chart's author writes freely."""
    coding = {"system": text, "code": text, "display": text, "version": text}
    return {
        "note": [{"text": text, "authorString": text}],
        "text": {"status": "generated", "div": text},
        "category": [{"coding": [coding], "text": text}],
        "interpretation": [{"coding": [coding], "text": text}],
        "referenceRange": [{"text": text, "low": {"unit": text}}],
        "performer": [{"display": text}],
        "identifier": [{"system": text, "value": text}],
    }


def named(code: str, text: str) -> Json:
    """A LOINC code under another name, beside a code of nobody's."""
    known = {"system": "http://loinc.org", "code": code, "display": text}
    return {"coding": [{"system": text, "code": text, "display": text}, known], "text": text}


def spoiled(text: str) -> list[list[Json]]:
    """Charts in which the text stands wherever a card may quote it."""
    return [
        kidney(34, 35, unit=text),
        kidney(34, text, unit=None),
        kidney(34, None, lab(UACR, 30, text)),
        kidney(34, 310, lab(UACR, 20, text, ago=2, status="preliminary", id="pending")),
        kidney(34, 310, lab(CREATININE, 1.0, text, ago=60, id="unreadable")),
        [person(), lab(CREATININE, 2.0, text), lab(UACR, 310, "mg/g"), condition("433144002")],
        [person(), lab(CREATININE, 2.0, text, ago=400), lab(UACR, 310, "mg/g"), condition("433144002")],
        kidney(34, 310, valueQuantity={"value": 310, "unit": text, "code": "mg/g"}),
        kidney(34, 310, valueQuantity={"value": 310, "unit": "mg/g", "code": text}),
        kidney(34, 310, valueQuantity={"value": 310, "unit": "mg/g", "comparator": text}),
        kidney(34, None, lab(UACR, 310, "mg/g", **worded(text)) | {"code": named(UACR, text)}),
        kidney(34, 310, condition("433144002", **worded(text), recorder={"display": text})),
        [person(name=[{"text": text, "family": text, "given": [text]}], **worded(text)), *kidney()[1:]],
        kidney(34, None, lab(UPCR, 900, "mg/g", **worded(text)) | {"code": named(UPCR, text)}),
    ]


@pytest.mark.proves(
    "R21", "42 payloads in 14 charts each: 0 active elements, 0 URLs in the detail, 1 table of 3 columns"
)
@pytest.mark.parametrize("text", PAYLOADS, ids=range(len(PAYLOADS)))
def test_r21_chart_text_is_inert_in_a_card(desk: Desk, text: str) -> None:
    assert (len(PAYLOADS), len(spoiled(text))) == (42, 14)
    shown = 0
    for resources in spoiled(text):
        card = desk.card(resources)
        if not card:
            continue
        shown += 1
        assert {link["url"] for link in card["links"]} == {GUIDELINE}
        html = GFM.render(card["detail"])
        assert not ACTIVE.search(html), html
        assert not AUTOLINK.search(card["detail"]), card["detail"]
        assert html.count("<table>") == 1
        assert {row.count("<td") for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)} <= {0, 3}
        assert all(c.isprintable() or c == "\n" for c in card["detail"])
        assert card["summary"].isprintable()
        assert len(card["summary"]) < 140
        assert len(card["detail"]) < 6_000
        assert not FOREIGN.search(html), html
    assert shown >= 8


@pytest.mark.parametrize("text", PAYLOADS, ids=range(len(PAYLOADS)))
def test_r21_plain_text_is_one_inert_paragraph(text: str) -> None:
    html = GFM.render(f"x {plain(text)} y")
    assert html.startswith("<p>x ")
    assert html.count("<") == 2
    assert not AUTOLINK.search(plain(text))


@pytest.mark.parametrize("unit", ["mg/g", "mg/mmol", "g/mol", "mg/g{creat}", "mL/min/{1.73_m2}", "µmol/L", "%"])
def test_r21_a_laboratorys_unit_is_still_readable(unit: str) -> None:
    assert re.sub(r"\\(.)", r"\1", plain(unit)) == unit


EXTREME: dict[str, list[Json]] = {
    "age 110": kidney(15, 20_000, age=110),
    "age 18": kidney(15, 20_000, age=18, chronic=False),
    "the lowest eGFR": kidney(3, 20_000),
    "the highest eGFR": kidney(59.9, 300.5, age=110),
    "the least urine albumin": kidney(29, 0.1, age=90),
    "at least, very much": kidney(3, 9_999, valueQuantity={"value": 9_999, "unit": "mg/g", "comparator": ">"}),
    "digits without end": kidney(34, 310.123456789012345),
    "not a unit, long": kidney(34, 123456789.123456, unit="m" * 300),
    "not final, long": kidney(34, None, lab(UACR, 123456789.12345, "m" * 99, status="preliminary")),
    "modified": kidney(34, 123456789.12345, unit="g" * 99, modifierExtension=[{"url": "x"}]),
    "creatinine modified": [
        person(),
        lab(CREATININE, 123456789.12345, "m" * 99, modifierExtension=[{"url": "x"}]),
        lab(UACR, 310, "mg/g"),
        condition("433144002"),
    ],
    "a text for a number": kidney(34, "z" * 500),
    "urine protein": kidney(34, None, lab("2890-2", 123456789.12345, "q" * 99)),
    "a rise": [
        person(),
        lab(CREATININE, 1.2345678901, "mg/dL", ago=120),
        lab(CREATININE, 3.4567890123, "mg/dL"),
        lab(UACR, 310, "mg/g"),
    ],
}


@pytest.mark.parametrize("chart", EXTREME)
@pytest.mark.parametrize("shown", [False, True])
def test_c59_no_value_makes_a_summary_too_long(open_desk: Any, chart: str, shown: bool) -> None:
    for variant in ("kfre-4", "kfre-8"):
        desk = open_desk(service={"show_low_risk": shown, "show_out_of_domain": shown, "variant": variant})
        response = desk.post(desk.call(EXTREME[chart]))
        assert response.status_code == 200, response.text
        for card in response.json()["cards"]:
            assert 0 < len(card["summary"]) < 140
            assert "nan" not in card["summary"].lower().replace("finance", "")
