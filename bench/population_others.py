"""The Observations that no kidney model asks for: vital signs, panels with components, other tests, survey answers."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate
from random import Random

from bench.population_shapes import (
    LABORATORY,
    PATIENT_ID,
    SURVEY,
    VITALS,
    Test,
    interpreted,
    observed,
    template,
)
from bench.record import LOINC, SNOMED, Json, coded, quantity

POOL = 4096
"""Lines made once; each patient gets some that stand together, so that no two patients need a line formatted twice."""

LABS = (
    Test("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 70, 99),
    Test("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", 136, 145),
    Test("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", 3.5, 5.1),
    Test("2075-0", "Chloride [Moles/volume] in Serum or Plasma", "mmol/L", 98, 107),
    Test("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma", "mg/dL", 7, 20),
    Test("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 12, 17.5),
    Test("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 4, 5.6),
    Test("1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "U/L", 7, 55),
    Test("777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", 150, 400),
)
SIGNS = (
    Test("8302-2", "Body height", "cm", 150, 195, VITALS),
    Test("29463-7", "Body weight", "kg", 50, 110, VITALS),
    Test("39156-5", "Body mass index (BMI) [Ratio]", "kg/m2", 18, 35, VITALS),
    Test("8867-4", "Heart rate", "/min", 55, 95, VITALS),
    Test("9279-1", "Respiratory rate", "/min", 12, 20, VITALS),
    Test("8310-5", "Body temperature", "Cel", 36.1, 37.4, VITALS),
)
PANELS = (
    (
        Test("85354-9", "Blood pressure panel with all children optional", "", 0, 0, VITALS),
        (
            Test("8480-6", "Systolic blood pressure", "mm[Hg]", 100, 165),
            Test("8462-4", "Diastolic blood pressure", "mm[Hg]", 60, 100),
        ),
    ),
    (
        Test("24331-1", "Lipid 1996 panel - Serum or Plasma", "", 0, 0),
        (
            Test("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", 120, 260),
            Test("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", 50, 250),
            Test("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL", 30, 80),
        ),
    ),
)
QUESTIONS = (
    (
        Test("72166-2", "Tobacco smoking status", "", 0, 0, SURVEY),
        (("266919005", "Never smoked tobacco (finding)"), ("8517006", "Ex-smoker (finding)")),
    ),
    (
        Test("71802-3", "Housing status", "", 0, 0, SURVEY),
        (("224249004", "Characteristics of residence (observable entity)"), ("365508006", "Finding of residence")),
    ),
)


class Pool:
    """Ready lines with `@patient@` for their owner; the number in a line's id is its place, so ids stay apart."""

    def __init__(self, random: Random, last: date) -> None:
        lines = [template(one) % {} for one in others(random, last)]
        self._text = b"".join(lines) * 2
        self._ends = [0, *accumulate(len(line) for line in lines * 2)]

    def some(self, start: int, count: int, owner: bytes) -> bytes:
        """`count` lines from a place in the pool, at most as many as it has, all about `owner`."""
        first = start % POOL
        return self._text[self._ends[first] : self._ends[first + count]].replace(PATIENT_ID, owner)


def others(random: Random, last: date) -> Iterator[Json]:
    """As many resources as the pool has, in the mix of a general hospital: mostly vital signs and tests."""
    for number in range(POOL):
        day = (last - timedelta(days=random.randrange(1, 1500))).isoformat()
        base = (PATIENT_ID.decode(), f"x{number}", str(random.randrange(2)), day)
        kind = random.random()
        if kind < 0.45:
            yield measured(random, random.choice(SIGNS), base)
        elif kind < 0.8:
            yield measured(random, random.choice(LABS), base)
        elif kind < 0.93:
            yield panel(random, base)
        else:
            test, answers = random.choice(QUESTIONS)
            code, display = random.choice(answers)
            answer = {"coding": [coded(SNOMED, code, display)], "text": display}
            yield {**observed(test, *base), "valueCodeableConcept": answer}


def value(random: Random, test: Test) -> Json:
    wide = (test.high - test.low) * 0.1
    return quantity(round(random.uniform(test.low - wide, test.high + wide), 1), test.unit)


def measured(random: Random, test: Test, base: tuple[str, str, str, str]) -> Json:
    more = interpreted(test) if test.category == LABORATORY else {"device": {"display": "Bedside monitor, ward 4"}}
    return {**observed(test, *base), "valueQuantity": value(random, test), **more}


def panel(random: Random, base: tuple[str, str, str, str]) -> Json:
    test, members = random.choice(PANELS)
    components = [
        {"code": {"coding": [coded(LOINC, m.loinc, m.display)], "text": m.display}, "valueQuantity": value(random, m)}
        for m in members
    ]
    return {**observed(test, *base), "component": components}
