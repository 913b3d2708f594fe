"""Whatever is typed into a page's forms, the page comes back whole, shows it as text, and records what it was."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds.web.smart import views
from tests.cdshooks.desk import SERVICE
from tests.web.smart_page.bench import TICKET, App
from tests.web.smart_page.markup import Markup

MARKUP = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><svg/onload=alert(1)>", "</form><form>",
    "{{7*7}}", "<!--", "\x00", "\u202e", "&lt;b&gt;", "javascript:alert(1)", '" autofocus onfocus="alert(1)',
)  # fmt: skip
NUMBERS = (
    "nan", "inf", "-inf", "1e999", "-0", "0x1p3", "1_000", "\u0663\u0664", "34,5", " 34 ", "1e-320", "34" * 9,
    "\u00b3", "+25", "",
)  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
WORDS = st.one_of(
    st.sampled_from((*MARKUP, *NUMBERS)),
    st.floats().map(str),
    st.floats(min_value=0, max_value=6000).map(str),
    TEXT,
    st.tuples(st.sampled_from(MARKUP), TEXT).map("".join),
)
NAMES = st.sampled_from(("egfr", "acr", "age", "sex", "region", "card", "verdict", "reason", "comment", "assessment"))
CARD = "5d5f8f3e-2c38-5c3b-9c3e-0f7b7f3f6a11"
BEGUN: tuple[dict[str, str], ...] = (
    {},
    {"egfr": "25", "acr": "310"},
    {"card": CARD, "verdict": "helpful"},
    {"card": CARD, "verdict": "not-helpful"},
)
"""What some of a form is right about, so that the rest of it is looked at."""
FORMS = st.builds(
    lambda begun, odd: {**odd, **begun}, st.sampled_from(BEGUN), st.dictionaries(NAMES, WORDS, max_size=6)
)
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def send(app: App, what: str, form: dict[str, str]) -> tuple[int, str]:
    said = app.http.post(f"{app.path}/{SERVICE}/{what}", data={**form, "ticket": TICKET})
    return said.status_code, said.text


def check(html: str) -> None:
    """Nothing in it runs, nothing of it breaks the page's own markup, and no text carries the eye elsewhere."""
    page = Markup(html)
    assert page.active() == []
    assert page.faults == []
    assert not set(html) & {"\u202e", "\x00", "\x1b"}


@pytest.mark.proof
@pytest.mark.proves(
    "R20", "1,500 odd forms in make proof (75 in make test) to what-if, feedback and save: 0 five-hundreds"
)
@pytest.mark.proves("S27", "1,500 odd forms in make proof (75 in make test): 0 unescaped markup")
@pytest.mark.parametrize("what", ["what-if", "feedback", "save"])
def test_no_form_breaks_a_page(what: str, open_app: Callable[..., App], campaign: Callable[[int], int]) -> None:
    app = open_app("refer")

    @settings(max_examples=campaign(500), **SETTINGS)
    @given(FORMS)
    def tried(form: dict[str, str]) -> None:
        status, html = send(app, what, form)
        assert status in ({200, 400} if what == "feedback" else {200})
        check(html)
        if what == "what-if":
            supposed = msgspec.json.decode(app.answers()[-1].body, type=views.Page).what_if
            assert supposed is not None
            assert all(0 <= number.probability <= 1 for number in supposed.numbers)
            assert bool(supposed.numbers) != bool(supposed.refused)

    tried()
    assert app.records.created == []
    assert bool(app.feedback()) == (what == "feedback")
    for kept in app.feedback():
        assert kept.comment is None
        assert kept.reason_code in {"helpful", "not-helpful", *(reason.code for reason in reasons(app))}


def reasons(app: App) -> tuple[Any, ...]:
    app.open()
    return msgspec.json.decode(app.answers()[-1].body, type=views.Page).reasons
