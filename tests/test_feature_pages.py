"""Whether every feature kind has its cases on the published page, and the page is what the tests say."""

import inspect

import pytest

import cds
from cds.features.feature import Feature
from tests.feature_pages import EXAMPLES, PAGE, features, page

KINDS = {name for name, kind in vars(cds).items() if inspect.isclass(kind) and issubclass(kind, Feature)}


def test_every_kind_that_a_model_can_declare_is_on_the_page() -> None:
    assert KINDS - {"Feature"} <= EXAMPLES.keys()


def test_every_kind_has_cases_and_every_case_a_kind() -> None:
    inside = {"VitalSigns"}  # what it gathers is asked for by Vital, OxygenSupport and Consciousness
    assert features().keys() == EXAMPLES.keys() - inside


@pytest.mark.parametrize("kind", sorted(features()))
def test_what_is_marked_has_parameters_to_show(kind: str) -> None:
    for test in features()[kind]:
        assert "parametrize" in {mark.name for mark in test.pytestmark}  # type: ignore[attr-defined]


def test_the_published_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.feature_pages`"
