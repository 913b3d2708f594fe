"""What one set of vital signs means: four hours, one stay, the newest of each, and nothing taken for granted."""

import pytest

from cds import Consciousness, Missing, OxygenSupport, Reading, VitalSigns, hours
from cds.features.vitals import VITAL_CODES
from cds.fhir.codes import Vocabulary
from tests.spec.charts import AT, LAB_CODES, LOINC, SNOMED, chart, latest, told

VOCABULARY = Vocabulary([*LAB_CODES.values(), *(VITAL_CODES[name] for name in ("acvpu", "on_oxygen"))])
SET = VitalSigns()
RATE, OXYGEN, LEVEL = SET.of("resp_rate"), OxygenSupport(SET), Consciousness(SET)
HEAD = "Observation | code | effective | value | unit | status | encounter"


def seen(*lines: str) -> str:
    return "\n".join([HEAD, *lines])


@pytest.mark.feature("Vital")
@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (("rr | 9279-1 | 2026-11-22T14:00:00Z | 22 | /min | |",), "22 /min from rr"),
        (("rr | 9279-1 | 2026-11-22T10:02:00Z | 22 | /min | |",), "22 /min from rr"),
        (("rr | 9279-1 | 2026-11-22T10:01:59Z | 22 | /min | |",), "too old"),
        (("rr | 9279-1 | 2026-11-22 | 22 | /min | |",), "not precise enough"),
        (("rr | 9279-1 | 2026-11-21 | 22 | /min | |",), "too old"),
        (("rr | 9279-1 |  | 22 | /min | |",), "no date"),
        (("rr | 9279-1 | 2026-11-22T14:00:00Z | 22 | /h | |",), "unit not accepted"),
        (("rr | 9279-1 | 2026-11-22T14:00:00Z | 220 | /min | |",), "implausible"),
        (("rr | 9279-1 | 2026-11-22T14:00:00Z | 22 | /min | preliminary |",), "not final"),
        (("rr | 9279-1 | 2026-11-22T14:00:00Z | 22 | /min | entered-in-error |",), "never recorded"),
        (("hr | 8867-4 | 2026-11-22T14:00:00Z | 88 | /min | |",), "never recorded"),
        (
            ("a | 9279-1 | 2026-11-22T13:00:00Z | 22 | /min | |", "b | 9279-1 | 2026-11-22T14:00:00Z | 30 | /min | |"),
            "30 /min from b",
        ),
        (
            ("a | 9279-1 | 2026-11-22T13:00:00Z | 22 | /min | |", "b | 9279-1 | 2026-11-22T14:00:00Z | 30 | | |"),
            "unit not accepted",  # no older one stands in
        ),
        (("rr | 9279-1 | 2026-11-22T14:30:00Z | 22 | /min | |",), "never recorded"),  # not yet
    ],
)
def test_the_newest_within_four_hours(lines: tuple[str, ...], answer: str) -> None:
    assert latest(seen(*lines), RATE, vocabulary=VOCABULARY) == answer


STAYS = """
Encounter | class | status      | begin                | end
clinic    | AMB   | finished    | 2026-11-22T10:30:00Z | 2026-11-22T11:00:00Z
ed        | EMER  | finished    | 2026-11-22T11:30:00Z | 2026-11-22T13:00:00Z
ward      | IMP   | in-progress | 2026-11-22T13:00:00Z |
"""


@pytest.mark.feature("Vital")
@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("Encounter/ward", "22 /min from rr"),
        ("Encounter/ed", "22 /min from rr"),  # the same stay
        ("Encounter/clinic", "never recorded"),  # another one
        ("", "22 /min from rr"),
        ("Encounter/unknown", "22 /min from rr"),
    ],
)
def test_one_set_is_of_one_stay(where: str, answer: str) -> None:
    table = seen(
        f"rr | 9279-1 | 2026-11-22T12:00:00Z | 22 | /min | | {where}",
        "hr | 8867-4 | 2026-11-22T14:00:00Z | 88 | /min | | Encounter/ward",
    )
    assert told(RATE.read(chart(table, STAYS, vocabulary=VOCABULARY), AT)) == answer


@pytest.mark.feature("OxygenSupport")
@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ((), "never recorded"),  # that nobody wrote anything is not room air
        (("f | 3151-8 | 2026-11-22T14:00:00Z | 0 | L/min | |",), "False from f"),
        (("f | 3151-8 | 2026-11-22T14:00:00Z | 0.5 | L/min | |",), "True from f"),
        (("c | 3150-6 | 2026-11-22T14:00:00Z | 21 | % | |",), "False from c"),
        (("c | 3150-6 | 2026-11-22T14:00:00Z | 24 | % | |",), "True from c"),
        (("c | 3150-6 | 2026-11-22T14:00:00Z | 24 | | |",), "unit not accepted"),
        (("f | 3151-8 | 2026-11-22T09:00:00Z | 2 | L/min | |",), "too old"),
        (
            (
                "f | 3151-8 | 2026-11-22T14:00:00Z | 0 | L/min | |",
                "c | 3150-6 | 2026-11-22T14:00:00Z | 40 | % | |",
            ),
            "True from c",
        ),
        (
            (
                "f | 3151-8 | 2026-11-22T13:00:00Z | 2 | L/min | |",
                "c | 3150-6 | 2026-11-22T14:00:00Z | 21 | % | |",
            ),
            "False from c",  # weaned
        ),
        (
            (
                "c | 3150-6 | 2026-11-22T13:45:00Z | 40 | % | |",  # by a mask
                "f | 3151-8 | 2026-11-22T14:00:00Z | 0 | L/min | |",
            ),
            "True from c",
        ),
        (
            (
                "c | 3150-6 | 2026-11-22T13:44:59Z | 40 | % | |",
                "f | 3151-8 | 2026-11-22T14:00:00Z | 0 | L/min | |",
            ),
            "False from f",
        ),
        (
            (
                "c | 3150-6 | 2026-11-22T13:58:00Z | 40 | | |",
                "f | 3151-8 | 2026-11-22T14:00:00Z | 0 | L/min | |",
            ),
            "unit not accepted",
        ),
    ],
)
def test_oxygen(lines: tuple[str, ...], answer: str) -> None:
    spo2 = "s | 59408-5 | 2026-11-22T14:00:00Z | 97 | % | |"
    assert latest(seen(spo2, *lines), OXYGEN, vocabulary=VOCABULARY) == answer


@pytest.mark.feature("OxygenSupport")
@pytest.mark.parametrize(
    ("code", "answer", "told_"),
    [
        (f"{SNOMED}|371825009", f"{SNOMED}|373066001", "True from one"),
        (f"{SNOMED}|371825009", f"{SNOMED}|373067005", "False from one"),
        (f"{SNOMED}|371825009", f"{SNOMED}|1", "not stated"),
    ],
)
def test_oxygen_by_a_plain_answer(code: str, answer: str, told_: str) -> None:
    table = f"Observation | code | effective | answer\none | {code} | 2026-11-22T14:00:00Z | {answer}"
    assert latest(table, OXYGEN, vocabulary=VOCABULARY) == told_


@pytest.mark.feature("Consciousness")
@pytest.mark.parametrize(
    ("value", "answer"), [("15", "alert from g"), ("14", "GCS 14 from g"), ("3", "GCS 3 from g"), ("2", "implausible")]
)
def test_only_a_glasgow_coma_scale_of_15_is_alert(value: str, answer: str) -> None:
    table = seen(f"g | 9269-2 | 2026-11-22T14:00:00Z | {value} | {{score}} | |")
    assert latest(table, LEVEL, vocabulary=VOCABULARY) == answer


@pytest.mark.feature("Consciousness")
@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (f"{LOINC}|LA9340-6", "alert from one"),
        (f"{SNOMED}|248234008", "alert from one"),
        (f"{LOINC}|LA6560-2", "new confusion from one"),
        (f"{SNOMED}|130987000", "new confusion from one"),
        (f"{LOINC}|LA17108-4", "voice from one"),
        (f"{LOINC}|LA17107-6", "pain from one"),
        (f"{LOINC}|LA9343-0", "unresponsive from one"),
        (f"{LOINC}|LA9340-6 {SNOMED}|248234008", "alert from one"),
        (f"{LOINC}|LA9340-6 {SNOMED}|130987000", "not stated"),  # two codings that disagree
        (f"{LOINC}|LA1-1", "not stated"),
        ("", "no value"),
    ],
)
@pytest.mark.parametrize("code", ["67775-7", "80288-4", f"{SNOMED}|1104441000000107"])
def test_acvpu(code: str, answer: str, level: str) -> None:
    table = f"Observation | code | effective | answer\none | {code} | 2026-11-22T14:00:00Z | {answer}"
    assert latest(table, LEVEL, vocabulary=VOCABULARY) == level


def test_a_number_of_an_acvpu_list_is_no_glasgow_coma_scale() -> None:
    table = "Observation | code | effective | integer\none | 67775-7 | 2026-11-22T14:00:00Z | 15"
    assert isinstance(LEVEL.read(chart(table, vocabulary=VOCABULARY), AT), Missing)


def test_of_two_at_one_instant_the_one_that_is_not_alert_counts() -> None:
    gcs = seen("g | 9269-2 | 2026-11-22T14:00:00Z | 15 | {score} | |")
    acvpu = "Observation | code | effective | answer\na | 67775-7 | 2026-11-22T14:00:00Z | http://loinc.org|LA6560-2"
    answer = LEVEL.read(chart(gcs, acvpu, vocabulary=VOCABULARY), AT)
    assert isinstance(answer, Reading)
    assert (answer.value, answer.method) == ("new confusion", "ACVPU")


def test_the_window_can_be_another() -> None:
    table = seen("rr | 9279-1 | 2026-11-22T10:00:00Z | 22 | /min | |")
    assert latest(table, VitalSigns(hours(5)).of("resp_rate"), vocabulary=VOCABULARY) == "22 /min from rr"
