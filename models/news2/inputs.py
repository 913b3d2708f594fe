"""What NEWS2 asks of a chart: seven parameters of one set of observations, and which SpO2 scale a clinician chose."""

from datetime import datetime, timedelta
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
    carries a code that the site maps to `spo2_scale_2`. No diagnosis alone chooses it, and neither does a score without
    a value, such as one that says that the scale is not used. Scores on both scales of one time are "not stated".
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
        scores = [(fact.when, fact) for fact in (*one, *two) if fact.when is not None and _scored(fact)]
        charted = [(when, fact) for when, fact in scores if within_days(chart, fact, at, 1)]
        last = max((when.last for when, _ in charted), default=at)
        newest = [(when, fact) for when, fact in charted if when.last == last]
        chosen = [fact for _, fact in newest if fact in two]
        if not chosen:
            return Missing("never recorded")
        if len(chosen) < len(newest):
            return Missing("not stated", "scale 1 and scale 2 at one time", last, chosen[0].source)
        if any(when.first < at - _DAY for when, _ in newest):
            return Missing("not precise enough", when=last, source=chosen[0].source, written=newest[0][0].written)
        return newest_of(chart, chosen)


_DAY = timedelta(days=1)


def _scored(fact: Fact) -> bool:
    valued = fact.value is not None or fact.text is not None or bool(fact.answer)
    return fact.kind == "Observation" and fact.problem is None and valued


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
