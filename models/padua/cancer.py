"""Active cancer as the Padua score means it: there now, or found or treated within six months."""

from datetime import datetime, timedelta
from importlib.resources import files

from cds import (
    ACTIVE,
    CONDITION_CODES,
    CONDITIONS,
    ENCOUNTERS,
    Chart,
    Fact,
    Feature,
    Missing,
    Need,
    Reading,
    newest_of,
    read_code_sets,
    recorded,
)

CODES = read_code_sets(files("models.padua") / "codes.csv")
SIX_MONTHS = timedelta(days=183)
PERHAPS_TREATED = "a cancer is recorded that is not active: ask about chemotherapy or radiotherapy in the last 6 months"


class ActiveCancer(Feature[Reading[bool] | Missing]):
    """A cancer said to be active, or recorded, ended or treated within six months, whatever is said of it now.

    One that may be of those six months, and no more is known, is "not precise enough". Of one that is over, `notes`
    say that its treatment has to be asked for: most treatment is coded in ways that are not read.
    """

    codes = (CONDITION_CODES["active_cancer"], CODES["cancer_treatment"])

    def needs(self) -> tuple[Need, ...]:
        return (CONDITIONS, ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        cancers, treatments = (recorded(chart, (codes,), self.needs(), at) for codes in self.codes)
        since = at - SIX_MONTHS
        found = [(fact, _counts(chart, fact, since)) for fact in cancers]
        found += [(fact, _within(chart, fact, since)) for fact in treatments]
        if surely := [fact for fact, counts in found if counts]:
            return newest_of(chart, surely)
        if any(counts is None for _, counts in found):
            return Missing("not precise enough")
        return Missing("never recorded", notes=(PERHAPS_TREATED,) if found else ())


def _counts(chart: Chart, fact: Fact, since: datetime) -> bool | None:
    """Whether a cancer counts; None when its dates leave it open."""
    if fact.clinical_status is None and chart.when(fact) is None:
        return True
    if fact.clinical_status is not None and fact.clinical_status in ACTIVE:
        return True
    return _within(chart, fact, since)


def _within(chart: Chart, fact: Fact, since: datetime) -> bool | None:
    """Whether a date of the fact lies in the six months; None when it may, or when there is none."""
    dates = [date for date in (chart.when(fact), fact.ended) if date is not None]
    if any(date.first >= since for date in dates):
        return True
    return None if not dates or any(date.last >= since for date in dates) else False
