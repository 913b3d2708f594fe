"""What BodyMassIndex and MeanOf mean: as recorded or from weight and height; and a mean that says what it left out."""

import pytest

from cds import BodyMassIndex, MeanOf, Missing, Reading, lab_series, months
from cds.errors import DataUnavailable
from cds.features.labs import LAB_CODES
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from tests.spec.charts import AT, Json, chart, concept, fhir, latest, patient, told

BMI = BodyMassIndex(within=months(24))
SYSTOLIC = MeanOf(lab_series("sbp"), at_most=3, within=months(12))
ANYWHERE = MeanOf(lab_series("sbp"), at_most=3, within=months(12), outpatient=False)
CODES = {"bmi": "39156-5", "weight": "29463-7", "height": "8302-2"}


def measured(*lines: str) -> str:
    """Lines `bmi|weight|height | time | value | unit`, with status and comparator where they matter."""
    cells = [[cell.strip() for cell in line.split(" |")] for line in lines]
    filled = [[c[0], CODES[c[0].partition("-")[0]], *c[1:], *[""] * (6 - len(c))] for c in cells]
    return "\n".join(["Observation | code | effective | value | unit | status | comparator", *map(" | ".join, filled)])


HEIGHT = "height | 2026-01-01 | 200 | cm"
WEIGHT = "weight | 2026-06-01 | 100 | kg"


@pytest.mark.feature("BodyMassIndex")
@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (("bmi | 2026-11-01 | 31.2 | kg/m2",), "31.2 kg/m2 from bmi"),
        (("bmi | 2026-11-01 | 31.2 | kg/m2", WEIGHT, HEIGHT), "31.2 kg/m2 from bmi"),
        ((WEIGHT, HEIGHT), "25 kg/m2 from height"),  # as old as the older of the two
        (("weight | 2025-06-01 | 100 | kg", HEIGHT), "25 kg/m2 from weight"),
        (("weight | 2026-06-01 | 100000 | g", "height | 2026-01-01 | 2 | m"), "25 kg/m2 from height"),
        (("weight | 2026-06-01 | 220.4622622 | [lb_av]", HEIGHT), "25 kg/m2 from height"),
        ((WEIGHT, "height | 2026-01-01 | 78.74015748 | [in_i]"), "25 kg/m2 from height"),
        ((WEIGHT,), "never recorded"),
        ((HEIGHT,), "never recorded"),
        ((), "never recorded"),
        ((WEIGHT, "height | 2024-11-22 | 200 | cm"), "too old"),  # who grew since?
        (("weight | 2024-11-22 | 100 | kg", HEIGHT), "too old"),
        ((WEIGHT, "height | 2024-12 | 200 | cm"), "25 kg/m2 from height"),
        ((WEIGHT, "height | | 200 | cm"), "no date"),
        ((WEIGHT, "height | 2026-01-01 | 2"), "unit not accepted"),
        ((WEIGHT, "height | 2026-01-01 | 200 | m"), "implausible"),
        ((WEIGHT, "height | 2026-01-01 | 200 | cm | preliminary"), "not final"),
        (("weight | 2026-06-01 | 100 | kg | final | >", HEIGHT), "comparator"),
        (("weight | 2026-06-01 | 100 | kg | entered-in-error", HEIGHT), "never recorded"),
        (("weight | 2026-06-01 | 400 | kg", "height | 2026-01-01 | 120 | cm"), "implausible"),  # together
        (("bmi | 2024-11-01 | 31.2 | kg/m2", WEIGHT, HEIGHT), "25 kg/m2 from height"),
        (("bmi | 2024-11-01 | 31.2 | kg/m2", WEIGHT), "too old"),
        (("bmi | 2026-11-01 | 31.2 | kg/m2 | preliminary", WEIGHT, HEIGHT), "25 kg/m2 from height"),
        (("bmi | 2026-11-01 | 31.2 | kg/m2 | preliminary", WEIGHT), "not final"),
        (("bmi | | 31.2 | kg/m2", WEIGHT, HEIGHT), "25 kg/m2 from height"),
        (("bmi | 2026-11-01 | 31.2", WEIGHT, HEIGHT), "unit not accepted"),  # not replaced: it was measured
        (("bmi | 2026-11-01 | 312 | kg/m2", WEIGHT, HEIGHT), "implausible"),
        (("bmi | 2026-11-01 | 31.2 | kg/m2 | final | <", WEIGHT, HEIGHT), "comparator"),
        (("bmi | 2026-11-23 | 31.2 | kg/m2", WEIGHT, HEIGHT), "25 kg/m2 from height"),
    ],
)
def test_body_mass_index(lines: tuple[str, ...], answer: str) -> None:
    assert latest(measured(*lines), BMI) == answer


def test_a_body_mass_index_says_how_it_came_about() -> None:
    recorded = BMI.read(chart(measured("bmi | 2026-11 | 31.2 | kg/m2")), AT)
    computed = BMI.read(chart(measured(WEIGHT, HEIGHT)), AT)
    assert isinstance(recorded, Reading)
    assert isinstance(computed, Reading)
    assert (recorded.method, recorded.date) == ("recorded", "Nov 2026")
    assert (computed.method, computed.as_sent) == ("from weight and height", "100 kg, 200 cm")
    assert (computed.date, computed.also) == ("1 Jan 2026", ("Observation/weight",))


@pytest.mark.feature("BodyMassIndex")
@pytest.mark.parametrize(
    ("weight", "height", "note"),
    [
        ("100 | kg", "200 | cm", ""),
        ("29 | kg", "120 | cm", "body_weight 29 kg is unusual; check it"),
        ("240 | kg", "170 | cm", "body mass index from 240 kg, 170 cm is unusual; check both"),
    ],
)
def test_an_unusual_body_mass_index_is_said(weight: str, height: str, note: str) -> None:
    answer = BMI.read(chart(measured(f"weight | 2026-06-01 | {weight}", f"height | 2026-06-01 | {height}")), AT)
    assert isinstance(answer, Reading)
    assert "; ".join(answer.notes) == note


def test_a_newer_recorded_index_that_is_not_final_is_said_beside_a_computed_one() -> None:
    answer = BMI.read(chart(measured("bmi | 2026-11 | 31.2 | kg/m2 | preliminary", WEIGHT, HEIGHT)), AT)
    assert isinstance(answer, Reading)
    assert answer.notes == ("a body mass index (31.2 kg/m2, Nov 2026) is not final and was not used",)


@pytest.mark.parametrize("key", ["bmi", "body_weight", "body_height"])
def test_what_was_not_read_is_not_absent(key: str) -> None:
    with pytest.raises(DataUnavailable):
        latest(measured(HEIGHT), BMI, unread=(key,))


VISITS = """
Encounter | class
clinic    | AMB
ward      | IMP
ed        | EMER
"""


def pressures(*lines: str) -> str:
    """Lines `id | time | value | unit`, with status, comparator and encounter where they matter."""
    cells = [[cell.strip() for cell in line.split(" |")] for line in lines]
    filled = [[c[0], "8480-6", *c[1:], *[""] * (7 - len(c))] for c in cells]
    head = "Observation | code | effective | value | unit | status | comparator | encounter"
    return "\n".join([head, *map(" | ".join, filled)])


@pytest.mark.feature("MeanOf")
@pytest.mark.parametrize(
    ("lines", "answer", "method"),
    [
        ((), "never recorded", ""),
        (("a | 2026-11-01 | 120 | mm[Hg]",), "120 mm[Hg] from a", "one reading"),
        (("a | 2026-11-01 | 120 | mm[Hg]", "b | 2026-11-02 | 130 | mm[Hg]"), "125 mm[Hg] from b", "mean of 2"),
        (
            (
                "a | 2026-08-01 | 200 | mm[Hg]",  # a fourth is not looked at
                "b | 2026-09-01 | 120 | mm[Hg]",
                "c | 2026-10-01 | 130 | mm[Hg]",
                "d | 2026-11-01 | 140 | mm[Hg]",
            ),
            "130 mm[Hg] from d",
            "mean of 3",
        ),
        (("a | 2026-11-01 | 120 | mm[Hg]", "b | 2026-11-01 | 130 | mm[Hg]"), "125 mm[Hg] from b", "mean of 2"),
        (
            ("a | 2026-11-01T08:00:00Z | 120 | mm[Hg]", "b | 2026-11-01T08:05:00Z | 120 | mm[Hg]"),
            "120 mm[Hg] from b",
            "mean of 2",
        ),
        (
            ("a | 2026-11-01T08:00:00Z | 120 | mm[Hg]", "b | 2026-11-01T08:00:00Z | 120 | mm[Hg]"),
            "120 mm[Hg] from b",
            "one reading",  # sent twice
        ),
        (("a | 2025-11-22 | 120 | mm[Hg]", "b | 2026-11-01 | 130 | mm[Hg]"), "130 mm[Hg] from b", "one reading"),
        (("a | 2025-11-22 | 120 | mm[Hg]",), "too old", ""),
        (("a | 2026-11-23 | 120 | mm[Hg]",), "never recorded", ""),
        (("a | | 120 | mm[Hg]",), "no date", ""),
        (("a | 2026-10-01 | 120 | mm[Hg]", "b | 2026-11-01 | 13"), "unit not accepted", ""),  # the newest must do
        (("a | 2026-10-01 | 120 | mm[Hg]", "b | 2026-11-01 | 500 | mm[Hg]"), "implausible", ""),
        (("a | 2026-10-01 | 120 | mm[Hg]", "b | 2026-11-01 | 130 | mm[Hg] | final | >"), "comparator", ""),
        (("a | 2026-10-01 | 120 | cm", "b | 2026-11-01 | 130 | mm[Hg]"), "130 mm[Hg] from b", "one reading"),
        (("a | 2026-10-01 | 120 | mm[Hg] | final | <", "b | 2026-11-01 | 130 | mm[Hg]"), "130 mm[Hg] from b",
         "one reading"),
        (("a | 2026-10-01 | 120 | mm[Hg]", "b | 2026-11-01 | 130 | mm[Hg] | preliminary"), "120 mm[Hg] from a",
         "one reading"),
        (("a | 2026-10-01 | 120 | mm[Hg] | preliminary",), "not final", ""),
        (("a | 2026-10-01 | 120 | mm[Hg]", "b | 2026-11-01 | 130 | mm[Hg] | entered-in-error"), "120 mm[Hg] from a",
         "one reading"),
        (("a | 2026-10-01 | 16 | kPa", "b | 2026-11-01 | 130 | mmHg"), "125.00496 mm[Hg] from b", "mean of 2"),
    ],
)  # fmt: skip
def test_the_mean_of_at_most_three(lines: tuple[str, ...], answer: str, method: str) -> None:
    read = SYSTOLIC.read(chart(VISITS, pressures(*lines)), AT)
    assert (told(read), read.method if isinstance(read, Reading) else "") == (answer, method)


@pytest.mark.feature("MeanOf")
@pytest.mark.parametrize(
    ("where", "outpatient", "anywhere"),
    [
        ("Encounter/clinic", "130 mm[Hg] from b", "130 mm[Hg] from b"),
        ("", "130 mm[Hg] from b", "130 mm[Hg] from b"),
        ("Encounter/elsewhere", "130 mm[Hg] from b", "130 mm[Hg] from b"),
        ("Encounter/ward", "120 mm[Hg] from a", "130 mm[Hg] from b"),
        ("Encounter/ed", "120 mm[Hg] from a", "130 mm[Hg] from b"),
    ],
)
def test_pressures_of_a_hospital_stay_are_left_out(where: str, outpatient: str, anywhere: str) -> None:
    table = pressures("a | 2026-10-01 | 120 | mm[Hg]", f"b | 2026-11-01 | 140 | mm[Hg] | | | {where}")
    answers = [told(feature.read(chart(VISITS, table), AT)) for feature in (SYSTOLIC, ANYWHERE)]
    assert answers == [outpatient, anywhere]


@pytest.mark.feature("MeanOf")
@pytest.mark.parametrize(
    ("where", "effective", "answer"),
    [
        ("ward", "2026-11-01", "hospital values only"),
        ("ed", "2026-11-01", "hospital values only"),
        ("clinic", "2026-11-01", "120 mm[Hg] from one"),
        ("clinic", "2025-11-01", "too old"),
    ],
)
def test_hospital_values_alone_are_none(where: str, effective: str, answer: str) -> None:
    table = pressures(f"one | {effective} | 120 | mm[Hg] | | | Encounter/{where}")
    assert told(SYSTOLIC.read(chart(VISITS, table), AT)) == answer


@pytest.mark.feature("MeanOf")
@pytest.mark.parametrize(
    ("older", "notes"),
    [
        (("2026-10-01 | 120 | mm[Hg]",), ""),
        (("2026-10-01 | 120 | cm",), "120 cm of 1 Oct 2026 could not be used"),
        (("2026-11-01 | 120 | cm",), "120 cm of 1 Nov 2026 could not be used"),
        (("2026-10-01 | 120 | mm[Hg] | final | <",), "<120 mm[Hg] of 1 Oct 2026 could not be used"),
        (("2026-10 | 500 | mm[Hg]", "2026-09-01 | 120 | mm[Hg]"), "500 mm[Hg] of Oct 2026 could not be used"),
        (("2024-10-01 | 120 | cm",), ""),  # too old anyway
        (
            ("2026-10-03 | 120 | mm[Hg]", "2026-10-02 | 120 | mm[Hg]", "2026-10-01 | 120 | cm"),
            "",  # not one of the last three
        ),
        (("2026-11-02 | 120 | mm[Hg] | preliminary",),
         "a newer result (120 mm[Hg], 2 Nov 2026) is not final and was not used"),
        ((" | 120 | mm[Hg]",), "1 result(s) without a date were not used"),
        (("2026-10-01 | 260 | mm[Hg]",), "sbp 260 mm[Hg] is unusual; check it"),
    ],
)  # fmt: skip
def test_a_pressure_that_is_left_out_is_said(older: tuple[str, ...], notes: str) -> None:
    others = [f"o{number} | {cells}" for number, cells in enumerate(older)]
    answer = SYSTOLIC.read(chart(VISITS, pressures("used | 2026-11-01 | 130 | mm[Hg]", *others)), AT)
    assert isinstance(answer, Reading)
    assert "; ".join(answer.notes) == notes


def test_a_mean_names_what_it_rests_on() -> None:
    table = pressures("a | 2026-10-01 | 120 | mm[Hg]", "b | 2026-11 | 130 | mm[Hg]")
    answer = SYSTOLIC.read(chart(VISITS, table), AT)
    assert isinstance(answer, Reading)
    assert (answer.as_sent, answer.also, answer.date) == ("130 mm[Hg], 120 mm[Hg]", ("Observation/a",), "Nov 2026")


def panel(id_: str, **members: object) -> Json:
    pressure = {"code": concept("8480-6"), "valueQuantity": {"value": 120, "unit": "mm[Hg]"}}
    return {
        "resourceType": "Observation", "id": id_, "status": "final", "effectiveDateTime": "2026-11-01T08:00:00Z",
        "subject": {"reference": "Patient/p"}, "code": concept("85354-9"), "component": [pressure], **members,
    }  # fmt: skip


def test_a_pressure_that_was_sent_as_a_panel_and_by_itself_counts_once() -> None:
    itself = panel("itself", component=None, code=concept("8480-6"), valueQuantity={"value": 120, "unit": "mm[Hg]"})
    later = panel("later", effectiveDateTime="2026-11-02T08:00:00Z")
    resources = [(fhir(one), None) for one in (patient(), panel("panel"), itself, later)]
    answer = SYSTOLIC.read(Chart.of(resources, Identity("p"), Vocabulary(LAB_CODES.values())), AT)
    assert isinstance(answer, Reading)
    assert answer.method == "mean of 2"


@pytest.mark.parametrize(("feature", "key"), [(SYSTOLIC, "sbp"), (SYSTOLIC, "encounters"), (ANYWHERE, "sbp")])
def test_pressures_whose_place_or_number_was_not_read_are_not_none(feature: MeanOf, key: str) -> None:
    with pytest.raises(DataUnavailable):
        latest(pressures("a | 2026-10-01 | 120 | mm[Hg]"), feature, unread=(key,))


def test_without_a_question_of_place_encounters_need_not_be_read() -> None:
    table = pressures("a | 2026-10-01 | 120 | mm[Hg]")
    assert latest(table, ANYWHERE, unread=("encounters",)) == "120 mm[Hg] from a"


def test_an_optional_series_that_was_not_read_is_not_absent() -> None:
    optional = MeanOf(lab_series("sbp", required=False), outpatient=False)
    answer = optional.read(chart(unread=("sbp",)), AT)
    assert isinstance(answer, Missing)
    assert answer.why == "not read"
