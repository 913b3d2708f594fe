"""The row of the PREVENT equations: what they ask of a chart, and which of them the chart supports."""

from datetime import datetime
from importlib.resources import files
from typing import Literal

from cds import (
    BodyMassIndex,
    Chart,
    Feature,
    Latest,
    Missing,
    Need,
    Reading,
    Taking,
    diagnosed,
    lab_series,
    months,
    read_code_sets,
    recorded,
)
from models._heart.inputs import HBA1C, Heart
from models._kidney.egfr import EGFR
from models._kidney.gates import Pregnancy
from models.prevent.equation import Variant

SDI = read_code_sets(files("models.prevent") / "codes.csv")["sdi_decile"]
"""This project's own name, to which a site maps its code: none is published, and no address leads to a decile here."""


class SocialDeprivation(Feature[Reading[int] | Missing]):
    """The decile (1 to 10) of the Social Deprivation Index, as a site itself sends it: never from the address.

    An Observation whose code the site maps to `sdi_decile`, with a whole number and no unit. Not looked for unless
    the site says that there is one.
    """

    codes = (SDI,)

    def __init__(self, *, sent: bool = False) -> None:
        self.sent = sent

    def needs(self) -> tuple[Need, ...]:
        return (Need("sdi", "Observation", self.codes, count=10, required=False),) if self.sent else ()

    def read(self, chart: Chart, at: datetime) -> Reading[int] | Missing:
        if not self.sent or "sdi" in chart.unread:
            return Missing("not read")
        dated = [
            (moment.last, fact)
            for fact in recorded(chart, self.codes, self.needs(), at)
            if (moment := chart.when(fact))
        ]
        if not dated:
            return Missing("never recorded")
        last, fact = max(dated, key=lambda pair: (pair[0], pair[1].source))
        value = fact.value
        if value is None or fact.problem:
            return Missing("no value", when=last, source=fact.source)
        if value not in range(1, 11) or fact.comparator or fact.unit or fact.unit_code:
            return Missing("implausible", f"{value:g}", last, fact.source)
        return Reading(int(value), when=last, source=fact.source)


class Prevent(Heart):
    """The base, and the three that make it richer where the chart has them."""

    heart_failure = diagnosed("heart_failure", active=False)
    pregnancy = Pregnancy()
    bmi = BodyMassIndex(within=months(24))
    egfr = EGFR
    statin = Taking("statin")
    acr = Latest(lab_series("uacr", "uacr", "uacr_timed", key="uacr", count=10, required=False), within=months(24))
    hba1c = Latest(HBA1C, within=months(12))
    sdi = SocialDeprivation()


class PreventAndDeprivation(Prevent):
    """Where the site sends deciles of the Social Deprivation Index."""

    sdi = SocialDeprivation(sent=True)


OPTIONAL = ("acr", "hba1c", "sdi")
_ALONE: dict[tuple[str, ...], Variant] = {(): "base", ("acr",): "uacr", ("hba1c",): "hba1c", ("sdi",): "sdi"}


def variant_of(row: Prevent, wanted: Literal["richest"] | Variant) -> Variant:
    """The equations that a row is scored by: those for all it has, where the site has not chosen."""
    if wanted != "richest":
        return wanted
    return _ALONE.get(tuple(name for name in OPTIONAL if isinstance(getattr(row, name), Reading)), "full")
