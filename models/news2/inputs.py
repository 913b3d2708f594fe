"""What NEWS2 asks of a chart: seven parameters of one set of observations, and which SpO2 scale a clinician chose."""

from datetime import datetime
from importlib.resources import files

from cds import (
    ACTIVE,
    CONDITIONS,
    Age,
    Chart,
    CodeSet,
    Consciousness,
    Deceased,
    Fact,
    Feature,
    Missing,
    Need,
    OxygenSupport,
    Predictors,
    Reading,
    VitalSigns,
    newest_of,
    read_code_sets,
    recorded,
    within_days,
)
from models._kidney.gates import Pregnancy

CODES: dict[str, CodeSet] = read_code_sets(files("models.news2") / "codes.csv")
VITALS = VitalSigns()


class Scale2(Feature[Reading[bool] | Missing]):
    """Whether a clinician chose SpO2 scale 2, for a prescribed target of 88 to 92 %.

    That is so when the newest saturation score charted within a day is one of scale 2, or when an active Condition
    carries a code that the site maps to `spo2_scale_2`. No diagnosis alone chooses it.
    """

    codes = (CODES["spo2_scale_1"], CODES["spo2_scale_2"])
    charted = Need("spo2Scale", "Observation", codes, count=10)

    def needs(self) -> tuple[Need, ...]:
        return (self.charted, CONDITIONS)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        one, two = (recorded(chart, (codes,), self.needs(), at) for codes in self.codes)
        standing = [fact for fact in two if fact.kind == "Condition" and fact.clinical_status in ACTIVE]
        if standing:
            return newest_of(chart, standing)
        charted = [fact for fact in (*one, *two) if fact.kind == "Observation" and within_days(chart, fact, at, 1)]
        newest = max(charted, key=_moment, default=None)
        return newest_of(chart, [newest]) if newest is not None and newest in two else Missing("never recorded")


def _moment(fact: Fact) -> tuple[datetime, str]:
    if fact.when is None:
        raise ValueError("a fact within a day has its time")
    return fact.when.last, fact.source


class News2Row(Predictors):
    deceased = Deceased()
    age = Age()
    pregnancy = Pregnancy()
    resp_rate = VITALS.of("resp_rate")
    spo2 = VITALS.of("spo2")
    scale_2 = Scale2()
    oxygen = OxygenSupport(VITALS)
    sbp = VITALS.of("sbp")
    heart_rate = VITALS.of("heart_rate")
    consciousness = Consciousness(VITALS)
    temperature = VITALS.of("temperature")


PARAMETERS = {
    "resp_rate": "respiratory rate",
    "spo2": "oxygen saturation",
    "oxygen": "oxygen or room air",
    "sbp": "systolic blood pressure",
    "heart_rate": "heart rate",
    "consciousness": "consciousness",
    "temperature": "temperature",
}
"""The seven parameters by the names that a person reads."""
