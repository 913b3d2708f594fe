"""NEWS2 against its published rows, a second implementation, and every way in which it must not be scored."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from random import Random
from typing import Any

import pytest

from cds import ALERT, Missing, NotScored, Outcome, Reading, Risk, hours, total
from cds.features.admission import STAY_CODES
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.risk.scoring import score, score_row
from models.news2 import equation
from models.news2.inputs import PARAMETERS, News2Row, Scale2
from models.news2.model import HIGH, LOW, MEDIUM, SINGLE, News2, items
from tests.cdshooks.wards import vital, vitals
from tests.spec import charts
from tests.spec.charts import Json, chart, told

AT = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
MODEL = News2.build(files("models.news2"), News2.settings_type())
USUAL: dict[str, Any] = {
    "age": 60,
    "resp_rate": 16.0,
    "spo2": 97.0,
    "oxygen": False,
    "sbp": 120.0,
    "heart_rate": 70.0,
    "consciousness": ALERT,
    "temperature": 37.0,
}


def outcome(**values: Any) -> Outcome:
    return score_row(MODEL, News2Row.given(AT, **(USUAL | values)))


def points(**values: Any) -> float:
    scored = outcome(**values)
    assert isinstance(scored, Risk)
    return scored.score().value


def lines() -> list[dict[str, str]]:
    with (files("models.news2") / "reference.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("line", lines()[:5], ids=lambda line: line["expected"])
def test_the_published_rows(line: dict[str, str]) -> None:
    reference = News2.reference_row(line)
    scored = score_row(MODEL, reference.row)
    assert isinstance(scored, Risk)
    assert scored.score().value == float(line["expected"])


def test_no_row_was_lost() -> None:
    assert len(lines()) == 82


Cuts = tuple[tuple[float, int], ...]


def step(value: float, cuts: Cuts) -> int:
    """The points of the last cut that is not above the value: the table read from below, as nobody else reads it."""
    return [given for low, given in cuts if value >= low][-1]


def second(rate: int, spo2: int, scale: int, oxygen: bool, sbp: int, pulse: int, alert: bool, tenths: int) -> int:
    if scale == 1:
        saturation: Cuts = ((0, 3), (92, 2), (94, 1), (96, 0))
    else:
        saturation = ((0, 3), (84, 2), (86, 1), (88, 0))
        saturation += ((93, 1), (95, 2), (97, 3)) if oxygen else ()
    return (
        step(rate, ((0, 3), (9, 1), (12, 0), (21, 2), (25, 3)))
        + step(spo2, saturation)
        + 2 * oxygen
        + step(sbp, ((0, 3), (91, 2), (101, 1), (111, 0), (220, 3)))
        + step(pulse, ((0, 3), (41, 1), (51, 0), (91, 1), (111, 2), (131, 3)))
        + (0 if alert else 3)
        + step(tenths, ((0, 3), (351, 1), (361, 0), (381, 1), (391, 2)))
    )


def test_a_second_implementation_agrees_on_a_thousand_patients() -> None:
    random = Random(5)
    for _ in range(1000):
        rate, spo2, sbp, pulse = (random.randint(*r) for r in ((4, 40), (75, 100), (60, 250), (30, 180)))
        scale, oxygen, alert, tenths = random.choice((1, 2)), random.random() < 0.5, random.random() < 0.7, 330
        tenths += random.randint(0, 90)
        level = ALERT if alert else random.choice(("voice", "new confusion", "GCS 13"))
        found = points(
            resp_rate=float(rate),
            spo2=float(spo2),
            scale_2=True if scale == 2 else None,
            oxygen=oxygen,
            sbp=float(sbp),
            heart_rate=float(pulse),
            consciousness=level,
            temperature=tenths / 10,
        )
        assert found == second(rate, spo2, scale, oxygen, sbp, pulse, alert, tenths)


@pytest.mark.parametrize(
    ("value", "rounded"), [(38.04, 38.0), (38.05, 38.1), (35.04999, 35.0), (36.05, 36.1), (39.0500000001, 39.1)]
)
def test_temperature_is_rounded_to_a_tenth_before_it_is_banded(value: float, rounded: float) -> None:
    assert equation.tenth(value) == rounded


@pytest.mark.parametrize(("value", "rounded"), [(20.4, 20), (20.5, 21), (21.5, 22), (91.49, 91)])
def test_other_vitals_are_rounded_to_whole_numbers(value: float, rounded: float) -> None:
    assert equation.whole(value) == rounded


@pytest.mark.parametrize(
    ("values", "band"),
    [
        ({}, LOW),
        ({"resp_rate": 22.0, "oxygen": True}, LOW),  # 4
        ({"resp_rate": 25.0}, SINGLE),  # 3
        ({"resp_rate": 25.0, "oxygen": True}, MEDIUM),  # 5
        ({"resp_rate": 25.0, "oxygen": True, "heart_rate": 95.0}, MEDIUM),  # 6
        ({"resp_rate": 25.0, "oxygen": True, "heart_rate": 115.0}, HIGH),  # 7
    ],
)
def test_bands(values: dict[str, Any], band: str) -> None:
    scored = outcome(**values)
    assert isinstance(scored, Risk)
    assert scored.score().band == band


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_missing_parameter_is_named_and_never_normal(name: str) -> None:
    refused = outcome(**{name: Missing("too old")})
    assert isinstance(refused, NotScored)
    assert refused.reason == "vitals-incomplete"
    assert refused.text.endswith(f"{PARAMETERS[name]} (too old)")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"deceased": True}, "deceased"),
        ({"age": None}, "age"),
        ({"age": 15}, "age"),
        ({"age": 111}, "age"),
        ({"pregnancy": True}, "pregnancy"),
        (dict.fromkeys(PARAMETERS), "no-vitals"),
    ],
)
def test_whom_it_is_not_for(values: dict[str, Any], reason: str) -> None:
    refused = outcome(**values)
    assert isinstance(refused, NotScored)
    assert refused.reason == reason


def test_sixteen_is_old_enough() -> None:
    assert points(age=16) == 0


def test_scale_1_is_said_unless_a_clinician_chose_scale_2() -> None:
    assert any("scale 1" in caution for caution in outcome().cautions)
    assert not any("scale 1" in caution for caution in outcome(scale_2=True).cautions)


def test_what_is_known_of_an_incomplete_set_needs_oxygen_for_scale_2_only() -> None:
    row = News2Row.given(AT, **(USUAL | {"oxygen": None, "spo2": 90.0}))
    assert total(items(row)) == 3
    assert total(items(News2Row.given(AT, **(USUAL | {"oxygen": None, "spo2": 96.0, "scale_2": True})))) == 0


def test_a_set_that_took_hours_says_so() -> None:
    early = Reading(16.0, "/min", hours(3).before(AT))
    scored = outcome(resp_rate=early, heart_rate=Reading(70.0, "/min", AT))
    assert "one set, but measured from 11:02 to 14:02 UTC" in scored.cautions


VOCABULARY = Vocabulary([*News2Row.code_sets(), *STAY_CODES.values()])
ONE, TWO = (f"{charts.SNOMED}|{code}" for code in ("1104311000000102", "1104321000000108"))


def charted(*lines: str) -> str:
    table = "\n".join(["Observation | code | effective | status", *lines])
    return told(Scale2().read(chart(table, vocabulary=VOCABULARY), AT))


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ((), "never recorded"),
        ((f"a | {TWO} | 2026-11-22T10:00:00Z | final",), "True from a"),
        ((f"a | {TWO} | 2026-11-21T14:02:00Z | final",), "True from a"),
        ((f"a | {TWO} | 2026-11-21T14:01:59Z | final",), "never recorded"),
        ((f"a | {TWO} | 2026-11-22T10:00:00Z | preliminary",), "never recorded"),
        ((f"a | {TWO} |  | final",), "never recorded"),
        (
            (f"a | {TWO} | 2026-11-22T10:00:00Z | final", f"b | {ONE} | 2026-11-22T12:00:00Z | final"),
            "never recorded",
        ),
        ((f"a | {ONE} | 2026-11-22T10:00:00Z | final",), "never recorded"),
    ],
)
def test_scale_2_is_what_was_charted_last_within_a_day(lines: tuple[str, ...], answer: str) -> None:
    assert charted(*lines) == answer


def test_a_site_can_name_its_own_code_for_the_prescribed_target() -> None:
    local = Vocabulary(VOCABULARY.sets.values(), {("urn:local", "co2-retainer"): "spo2_scale_2"})
    for status, answer in (("active", "True from a"), ("resolved", "never recorded")):
        table = f"Condition | code | clinical\na | urn:local|co2-retainer | {status}"
        assert told(Scale2().read(chart(table, vocabulary=local), AT)) == answer


def test_from_a_chart_at_any_time() -> None:
    def scored_at(ago: float) -> Outcome:
        resources: list[Json] = [charts.patient(birthDate="1960-01-01"), *(_of_p(v) for v in vitals())]
        located = [(charts.fhir(one), None) for one in resources]
        built = Chart.of(located, Identity("p"), VOCABULARY)
        return next(score(MODEL, (built,), hours(int(ago)).before(AT) if ago else AT))

    assert isinstance(scored_at(0), Risk)
    assert isinstance(scored_at(2), NotScored)  # nothing had been measured then


def _of_p(observation: Json) -> Json:
    return observation | {"subject": {"reference": "Patient/p"}}


Change = Callable[[Json], Json]


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v | {"status": "preliminary"},
        lambda v: v | {"status": "entered-in-error"},
        lambda v: v | {"valueQuantity": v["valueQuantity"] | {"comparator": "<"}},
        lambda v: v | {"valueQuantity": {"value": 16}},
        lambda v: v | {"valueQuantity": {"value": 16, "unit": "/h"}},
        lambda v: v | {"modifierExtension": [{"url": "urn:not"}]},
        lambda v: {name: member for name, member in v.items() if name != "effectiveDateTime"},
    ],
)
def test_an_unusable_respiratory_rate_stops_the_score(change: Change) -> None:
    resources = [charts.patient(birthDate="1960-01-01"), *(_of_p(v) for v in vitals("rr")), _of_p(change(vital("rr")))]
    built = Chart.of([(charts.fhir(one), None) for one in resources], Identity("p"), VOCABULARY)
    refused = next(score(MODEL, (built,), AT))
    assert isinstance(refused, NotScored)
    assert "respiratory rate" in refused.text
