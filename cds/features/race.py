"""Race as a US chart states it, for the few equations that were fitted with it."""

from datetime import datetime

from cds.features.feature import Feature, Missing, Reading
from cds.fhir.chart import Chart

CDC_RACE = "urn:oid:2.16.840.1.113883.6.238"
RACES = {
    "1002-5": "American Indian or Alaska Native",
    "2028-9": "Asian",
    "2054-5": "Black or African American",
    "2076-8": "Native Hawaiian or Other Pacific Islander",
    "2106-3": "White",
}
"""The five categories of the US Office of Management and Budget, by their code of the CDC's race code system.

US Core 5.0.1, value set omb-race-category.
"""


class Race(Feature[Reading[str] | Missing]):
    """The category, or several joined by "and", of the US Core race extension; never from ethnicity, name or text.

    Whoever states no category, one beyond the five, or only that it is unknown, has not stated a race.
    """

    def read(self, chart: Chart, at: datetime) -> Reading[str] | Missing:
        person = chart.person
        if person.races is None:
            return Missing("never recorded", source=person.source)
        names = {RACES.get(race.code or "") if race.system == CDC_RACE else None for race in person.races}
        known = sorted(name for name in names if name)
        if not known or None in names:
            return Missing("not stated", source=person.source)
        return Reading(" and ".join(known), source=person.source, method="US Core race")
