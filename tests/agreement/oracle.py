"""An independent second opinion: which patient gets which kidney failure risk.

Written from ../shared/spec/decisions.md, models/gates.yaml, models/features.yaml and models/catalogue.yaml
alone, without looking at Bedside. Naive on purpose: plain dicts, no speed, no FHIR library.
Standard library and PyYAML only. `# A<n>` marks a place where the pages leave room; the readings are in AMBIGUITIES.

    python tests/agreement/oracle.py DATASET_DIR --at 2026-11-22T00:00:00Z
    python tests/agreement/oracle.py DATASET_DIR --at latest            # a day after the last eligible creatinine
    python tests/agreement/oracle.py DATASET_DIR --at every             # the same, after every eligible creatinine
    python tests/agreement/oracle.py DATASET_DIR --at last-encounter    # for data without creatinine (MIMIC)
"""

import argparse
import calendar
import collections
import datetime as dt
import functools
import glob
import json
import math
import os
import re
import statistics
import sys
from fractions import Fraction

import yaml

UTC = dt.UTC

AMBIGUITIES = """\
A1  '12 months', '24 months': calendar months back from `at`, inclusive; 'N days' is N x 24 h, inclusive.
A2  A day-precision date is also 'partial': [00:00Z, 24:00Z). A fact exists if its earliest instant is <= at;
    results take the latest instant for order and the earliest for look-back (D8); a gate window counts if any
    instant may be inside it.
A3  Age at `at`: on the calendar date of `at` as written; at specimen: the date as written in the result (its own
    offset); partial specimen date: its last day. 29 February birthdays complete on 1 March. Ambiguous partial
    birthDate: reason `age`.
A4  sex-parameter-for-clinical-use: any Patient extension whose url ends so; male-typical/male,
    female-typical/female; 'specified', 'unknown' or two that disagree: not scored.
A5  Gate codes are looked for in Condition.code and Procedure.code (any set in either); Encounter.type,
    Encounter.reasonCode and reasonReference are never matched (`counts` and `date` name Condition, Procedure,
    Observation only).
A6  'the longest wins' is applied within one gate (O90 puerperium over O pregnancy), not across gates: O90.41 is
    both pregnancy (84 d) and AKI (90 d); pregnancy is asked first.
A7  Dialysis status codes: no category or another category, with an active clinicalStatus, counts as the problem
    list. Problem list without clinicalStatus follows 'no clinicalStatus: 365 days, or undated', not 'absent counts
    as active'. An encounter diagnosis counts for 365 days whatever its clinicalStatus. active = active, recurrence,
    relapse.
A8  Dialysis `loinc` set: all three codes (74006-8 weight difference too) count as the 90-day creatinine evidence.
A9  Dialysis procedures: 'two at least 28 days apart': first and last of all, any distance; undated ones do not
    count.
A10 Pregnancy: any clinicalStatus, any sex; ICD-10 WHO and ICD-9 sets have no delivery part: all 294 days. Neither
    'not pregnant' nor delivery ends an EDD. EDD observation needs an effective time. Any EDD in the window gates.
A11 AKI diagnosis: within 90 days any clinicalStatus; undated needs active or absent clinicalStatus.
A12 AKI creatinine: values with comparator, bad unit or implausible are left out of the series; 26.5 umol/L is used
    as a second threshold only between two values both reported in umol/L.
A13 aki_rise: 'latest' = newest usable creatinine of every setting in 12 months; days counted back from it; 'last 7
    days' = up to 168 h before it, 'days 8-365' = more than 168 h up to 365 x 24 h. No 90-day limit on the latest.
    A repeat hides no rise: where the 7 days up to the latest hold another, the latest, or any of them within 90 days
    of `at`, at 1.5 x the median of days 8-365 before the first of them is AKI.
A14 Reported eGFR in hospital encounters is not excluded (only creatinine is named). Unknown encounter: eligible.
A15 98979-8 is compared with the newest eligible creatinine, usable or not; if 24 h or more newer it decides, usable
    or not.
A16 Other eGFR codes: order of the list first, then newest; first tier with a result in 12 months decides. Hospital
    creatinine does not count as 'creatinine in 12 months'.
A17 eGFR gate at 60 on the unrounded value (59.7 is scored though shown as 60).
A18 Units: each of `unit` and `code` that is present must be a listed spelling (exact, after strip) and both the
    same entry; an unknown `unit` beside a known `code` is refused. The LOINC code's own property (molar, mass) is
    not compared.
A19 uACR limits: 3.4 and 30 apply to values reported in mg/mmol, 30 and 300 mg/g to all others ('30 mg/mmol' is 265
    mg/g). '<=' and '>=' are 'other comparators'. String form: '<x' or '>x' with a listed unit; without a unit:
    refused (unit).
A20 'ACR above range': '>x' and 5-year risk <= 5 % (the default site threshold): not-scored uacr_above_range.
A21 PCR serves only if no uACR of counted status lies in 24 months, even an unusable one; PCR with comparator is
    refused. Diabetes, hypertension: active or absent clinicalStatus, icd10cm prefixes and the SNOMED parent itself;
    HbA1c unread.
A22 Chronicity: eGFR series = eligible creatinine and every reported code except never_read, any age, no comparator;
    at least 90 x 24 h before the eGFR used. Diagnosis: latest possible instant at least 90 days before `at`, or
    undated.
A23 Ties: greater issued, then greater id string wins; absent issued is lowest. effectivePeriod without end: no
    time.
A24 Order of reasons for one result: no_value, unit, comparator, zero (uACR), implausible.
A25 eGFR missing: hospital_only, then old, then refused_code, then none. A code in exclude_loinc beats an accepted
    coding.
A26 Condition date: onsetDateTime or onsetPeriod.start; ages, ranges, strings fall to recordedDate. A Condition or
    Procedure dated after `at` does not exist (an onset before `at` recorded after it does). Procedure end after
    `at` with start before: start is taken.
A27 deceasedDateTime after `at`: alive. Site additions (D29) are outside this oracle.
"""


# ---------------------------------------------------------------- the pages


def shared_dir(path=None):
    if path:
        return path
    env = os.environ.get("BEDSIDE_TEST_DATA")
    if env:
        return env
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.normpath(os.path.join(here, "..", "..", "..", "shared"))


@functools.cache
def pages(path):
    with open(os.path.join(path, "models", "gates.yaml"), encoding="utf-8") as f:
        gates = yaml.safe_load(f)
    with open(os.path.join(path, "models", "features.yaml"), encoding="utf-8") as f:
        features = yaml.safe_load(f)
    with open(os.path.join(path, "models", "catalogue.yaml"), encoding="utf-8") as f:
        kfre = yaml.safe_load(f)["models"]["kfre"]
    return gates, features, kfre


# ---------------------------------------------------------------- dates: (earliest, latest) in UTC


def when(text):
    """The first and last instant that a FHIR date, dateTime or instant may mean, or None."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    one = dt.timedelta(microseconds=1)
    try:
        if re.fullmatch(r"\d{4}", text):
            y = int(text)
            return dt.datetime(y, 1, 1, tzinfo=UTC), dt.datetime(y, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
        if re.fullmatch(r"\d{4}-\d\d", text):
            y, m = int(text[:4]), int(text[5:])
            last = calendar.monthrange(y, m)[1]
            return dt.datetime(y, m, 1, tzinfo=UTC), dt.datetime(y, m, last, 23, 59, 59, 999999, tzinfo=UTC)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            d = dt.datetime.fromisoformat(text).replace(tzinfo=UTC)
            return d, d + dt.timedelta(days=1) - one
        t = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        if t.tzinfo is None:
            t = t.replace(tzinfo=UTC)
        t = t.astimezone(UTC)
        return t, t
    except (ValueError, OverflowError):
        return None


def months_before(t, n):
    y, m = divmod(t.year * 12 + t.month - 1 - n, 12)
    return t.replace(year=y, month=m + 1, day=min(t.day, calendar.monthrange(y, m + 1)[1]))


def days(n):
    return dt.timedelta(days=n)


def written_day(text, interval):
    """The calendar day a dateTime names, as written (A3)."""
    m = re.match(r"(\d{4})-(\d\d)-(\d\d)", text or "")
    return dt.date(int(m[1]), int(m[2]), int(m[3])) if m else interval[1].date()


def age_on(birth_text, day):
    """Completed years on `day`; None when the birthDate leaves more than one answer (D2)."""
    born = when(birth_text)
    if not born:
        return None

    def years(b):
        return day.year - b.year - ((day.month, day.day) < (b.month, b.day))

    first, last = years(born[0].date()), years(born[1].date())
    return first if first == last and first >= 0 else None


# ---------------------------------------------------------------- small readers


def codings(concept):
    return [c for c in ((concept or {}).get("coding") or []) if isinstance(c, dict)]


def clean(code):
    return str(code).upper().replace(".", "")


def last_part(reference):
    ref = (reference or {}).get("reference") or ""
    ref = ref.split("/_history/")[0]
    return re.split(r"[/:]", ref)[-1] if ref else None


def status_code(concept):
    found = [c.get("code") for c in codings(concept) if c.get("code")]
    return found[0] if found else None


def condition_counts(c):
    return status_code(c.get("verificationStatus")) not in ("refuted", "entered-in-error")


def condition_active(c):
    return status_code(c.get("clinicalStatus")) in (None, "active", "recurrence", "relapse")


def has_loinc(obs, wanted):
    return [
        c.get("code")
        for c in codings(obs.get("code"))
        if c.get("system") == "http://loinc.org" and c.get("code") in wanted
    ]


PREFIXED = {"icd10cm", "icd10who", "icd9cm", "icd9proc", "icd10pcs"}


class Chart:
    """One patient's resources, as they stood at `at`."""

    def __init__(self, resources, at, path):
        self.gates, self.features, self.kfre = pages(path)
        self.at = at
        self.patient = next((r for r in resources if r.get("resourceType") == "Patient"), None)
        self.encounters = {r.get("id"): r for r in resources if r.get("resourceType") == "Encounter"}
        self.conditions = [r for r in resources if r.get("resourceType") == "Condition" and condition_counts(r)]
        self.procedures = [
            r
            for r in resources
            if r.get("resourceType") == "Procedure" and r.get("status") in ("completed", "in-progress", "stopped")
        ]
        self.observations = [
            r
            for r in resources
            if r.get("resourceType") == "Observation" and r.get("status") in ("final", "amended", "corrected")
        ]
        self.flags = []

    # ---- when things happened

    def condition_date(self, c):
        onset = when(c.get("onsetDateTime")) or when((c.get("onsetPeriod") or {}).get("start"))
        if onset:
            return onset
        recorded = when(c.get("recordedDate"))
        if recorded:
            return recorded
        encounter = self.encounters.get(last_part(c.get("encounter"))) or {}
        return when((encounter.get("period") or {}).get("start"))

    def procedure_date(self, p):
        period = p.get("performedPeriod") or {}
        start, end = when(period.get("start")), when(period.get("end"))
        if end and end[0] > self.at and start and start[0] <= self.at:  # A26
            end = None
        return when(p.get("performedDateTime")) or end or start

    def observation_text(self, o):
        return o.get("effectiveDateTime") or (o.get("effectivePeriod") or {}).get("end") or o.get("effectiveInstant")

    def observation_date(self, o):
        return when(self.observation_text(o))

    def exists(self, date):
        return date is None or date[0] <= self.at

    def within(self, date, n):
        """A dated fact that may lie within the last n days."""
        return date is not None and date[0] <= self.at and min(date[1], self.at) >= self.at - days(n)

    # ---- matching a gate's codes

    def matches(self, concept, code_sets):
        """[(set name, listed code)] for each code set of `code_sets` = {name: (system family, {code: display})}."""
        found = []
        for name, (family, listed) in code_sets.items():
            systems = self.gates["systems"][family]
            best = None
            for c in codings(concept):
                if c.get("system") not in systems or not c.get("code"):
                    continue
                code = clean(c["code"])
                for item in listed:
                    item = str(item)
                    if re.fullmatch(r"\d{5}-\d{5}", item) and family == "cpt":
                        low, high = item.split("-")
                        hit = code.isdigit() and len(code) == 5 and low <= code <= high
                    elif family in PREFIXED:
                        hit = code.startswith(clean(item))
                    else:
                        hit = code == clean(item)
                    if hit and (best is None or len(clean(item)) > len(clean(best))):
                        best = item
            if best is not None:
                found.append((name, best))
        return found

    def code_sets(self, gate, names):
        g = self.gates["gates"][gate]
        return {n: (n.split("_")[0], g[n]) for n in names if n in g}

    def hits(self, code_sets):
        """Counted Conditions and Procedures that carry one of the codes: (resource, date, matches)."""
        out = []
        for r in self.conditions:
            m = self.matches(r.get("code"), code_sets)
            if m and self.exists(self.condition_date(r)):
                out.append((r, self.condition_date(r), m))
        for r in self.procedures:
            m = self.matches(r.get("code"), code_sets)
            if m and self.exists(self.procedure_date(r)):
                out.append((r, self.procedure_date(r), m))
        return out

    # ---- gates, in order; each returns a reason or None

    def deceased(self):
        p = self.patient
        died = when(p.get("deceasedDateTime"))
        if p.get("deceasedBoolean") is True or (died and died[0] <= self.at):
            return "deceased"
        return None

    def age(self):
        age = age_on(self.patient.get("birthDate"), self.at_day)
        if age is None or age < 18 or age > 110:
            return "age"
        if age > 90:
            self.flags.append("age over 90")
        return None

    def sex(self):
        if self.sex_value() is None:
            return "sex"
        return None

    def sex_value(self):
        given = []
        for ext in self.patient.get("extension") or []:
            if re.sub("[^a-z]", "", (ext.get("url") or "").lower()).endswith("sexparameterforclinicaluse"):
                inner = [e for e in ext.get("extension") or [] if e.get("url") == "value"] or [ext]
                for e in inner:
                    code = (
                        status_code(e.get("valueCodeableConcept"))
                        or e.get("valueCode")
                        or (e.get("valueCoding") or {}).get("code")
                    )
                    given.append({"male-typical": "male", "female-typical": "female"}.get(code, code))
        value = (given[0] if len(set(given)) == 1 else None) if given else self.patient.get("gender")
        return value if value in ("male", "female") else None

    def kidney_transplant(self):
        sets = self.code_sets(
            "kidney_transplant", ["icd10cm", "icd10who", "icd9cm", "icd9proc", "icd10pcs", "cpt", "hcpcs", "snomed"]
        )
        if self.hits(sets):
            return "kidney_transplant"
        return None

    def dialysis(self):
        status = self.code_sets("dialysis", ["icd10cm", "icd10who", "icd9cm", "snomed_conditions"])
        for r, date, _ in self.hits(status):
            categories = (
                {c.get("code") for cat in r.get("category") or [] for c in codings(cat)}
                if r["resourceType"] == "Condition"
                else set()
            )
            clinical = status_code(r.get("clinicalStatus"))
            encounter_diagnosis = "encounter-diagnosis" in categories
            on_list = "problem-list-item" in categories or not encounter_diagnosis  # A7
            if on_list and clinical in ("active", "recurrence", "relapse"):
                return "dialysis"
            if (encounter_diagnosis or clinical is None) and (date is None or self.within(date, 365)):
                return "dialysis"
            self.flags.append("dialysis recorded")
        done = self.code_sets("dialysis", ["snomed_procedures", "cpt", "hcpcs", "icd10pcs", "icd9proc"])
        dates = sorted((d for _, d, _ in self.hits(done) if d), key=lambda d: d[1])
        if dates:
            if self.within(dates[-1], 90):
                return "dialysis"
            if self.within(dates[-1], 365) and dates[-1][1] - min(d[0] for d in dates) >= days(28):
                return "dialysis"
            self.flags.append("dialysis recorded")
        for o in self.observations:
            if has_loinc(o, self.gates["gates"]["dialysis"]["loinc"]) and self.within(self.observation_date(o), 90):
                return "dialysis"
        return None

    def esrd(self):
        if self.hits(self.code_sets("esrd", ["icd10cm", "icd10who", "icd9cm", "snomed"])):
            return "esrd"
        return None

    def pregnancy(self):
        g = self.gates["gates"]["pregnancy"]
        sets = {
            "pregnancy": ("icd10cm", g["icd10cm"]["pregnancy"]),
            "delivery": ("icd10cm", g["icd10cm"]["delivery_puerperium"]),
            "icd10who": ("icd10who", g["icd10who"]),
            "icd9cm": ("icd9cm", g["icd9cm"]),
            "snomed": ("snomed", g["snomed"]),
        }
        pregnant, delivered, ended = [], [], []
        for _, date, found in self.hits(sets):
            found = dict(found)
            if "delivery" in found and len(clean(found["delivery"])) >= len(clean(found.get("pregnancy", ""))):
                delivered.append(date)
                found.pop("pregnancy", None)
            found.pop("delivery", None)
            if found:
                pregnant.append(date)
        for _, date, _ in self.hits({"snomed": ("snomed", ["60001007"])}):
            ended.append(date)
        for o in self.observations:
            date = self.observation_date(o)
            if date is None or not self.exists(date):
                continue
            if has_loinc(o, ["82810-3"]):
                values = {
                    c.get("code")
                    for c in codings(o.get("valueCodeableConcept"))
                    if c.get("system") in self.gates["systems"]["snomed"]
                }
                if values & {"77386006", "146799005"}:
                    pregnant.append(date)
                if "60001007" in values:
                    ended.append(date)
            if has_loinc(o, ["11778-8"]):
                due = when(o.get("valueDateTime"))
                if due and due[1] >= self.at - days(84) and due[0] <= self.at + days(301):
                    return "pregnancy"
        age = age_on(self.patient.get("birthDate"), self.at_day)
        for date in delivered:
            if self.within(date, 84) or (date is None and 10 <= age <= 60):
                return "pregnancy"
        for date in pregnant:
            if date is None:
                if 10 <= age <= 60:
                    return "pregnancy"
            elif self.within(date, 294) and not any(e is not None and e[0] > date[1] for e in ended + delivered):
                return "pregnancy"
        return None

    def aki(self):
        sets = self.code_sets("aki", ["icd10cm", "icd10who", "icd9cm", "snomed"])
        sets["hcpcs"] = ("hcpcs", ["G0491", "G0492"])
        for r, date, _ in self.hits(sets):
            if self.within(date, 90) or (date is None and r["resourceType"] == "Condition" and condition_active(r)):
                return "aki"
        series = []
        for o, date in self.results("serum_creatinine"):
            got = self.quantity(o, "serum_creatinine")
            if got["why"] is None:
                series.append((min(date[1], self.at), got["exact"], got["reported"], got["unit"]))
        series.sort(key=lambda s: s[0])

        def rose(now, before):
            if now[1] - before[1] >= Fraction("0.3"):
                return True
            return now[3] == before[3] == "umol/L" and now[2] - before[2] >= Fraction("26.5")

        for v in series:
            if v[0] < self.at - days(90):
                continue
            for u in series:
                if v[0] - days(7) <= u[0] <= v[0] and v[1] >= Fraction("1.5") * u[1]:
                    return "aki"
                if v[0] - days(2) <= u[0] <= v[0] and rose(v, u):
                    return "aki"
                if v[0] < u[0] <= v[0] + days(7) and v[1] >= Fraction("1.5") * u[1]:
                    return "aki"
        if not series or series[-1][0] < months_before(self.at, 12):
            return None
        last = series[-1]
        usual = self.usual_before(last, series)
        if usual is not None and last[1] >= Fraction("1.5") * usual:
            return "aki_rise"
        week = [v for v in series if v[0] >= last[0] - days(7)]
        usual = self.usual_before(week[0], series)
        lately = [v for v in week if v is last or v[0] >= self.at - days(90)]
        if usual is not None and any(v[1] >= Fraction("1.5") * usual for v in lately):
            return "aki"
        return None

    def usual_before(self, v, series):
        """The median of days 8 to 365 before a creatinine with nothing in the week before it, else None."""
        earlier = [s for s in series if s[0] < v[0]]
        if any(s[0] >= v[0] - days(7) for s in earlier):
            return None
        base = [s[1] for s in earlier if s[0] >= v[0] - days(365)]
        return statistics.median(base) if base else None

    # ---- results

    def results(self, feature):
        """Counted observations of a feature that exist at `at`: [(observation, date)]."""
        f = self.features["features"][feature]
        codes = {str(c["code"]) for c in f["loinc"]}
        excluded = {str(c["code"]) for c in f.get("exclude_loinc") or []}
        if feature == "uacr":
            v = self.gates["values"]["uacr"]
            codes = {str(c) for c in v["spot"]} | {str(c) for c in v["timed_collection_accepted_and_named"]}
            excluded |= {str(c) for c in v["refused"]}
        return self.coded(codes, excluded)

    def coded(self, codes, excluded=()):
        out = []
        for o in self.observations:
            if has_loinc(o, codes) and not has_loinc(o, excluded):
                date = self.observation_date(o)
                if date is not None and self.exists(date):
                    out.append((o, date))
        return out

    @staticmethod
    def order(pair):
        o, date = pair
        issued = when(o.get("issued"))
        return date[1], issued[1] if issued else dt.datetime.min.replace(tzinfo=UTC), str(o.get("id") or "")

    def newest(self, feature_or_list):
        found = self.results(feature_or_list) if isinstance(feature_or_list, str) else feature_or_list
        return max(found, key=self.order) if found else None

    def in_hospital(self, o):
        encounter = self.encounters.get(last_part(o.get("encounter")))
        if not encounter:
            return False
        klass = encounter.get("class") or {}
        some = klass if isinstance(klass, list) else [klass]
        found = {c.get("code") for k in some for c in ([k, *codings(k)])}
        return bool(found & {"IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS"})

    def unit_of(self, texts, feature):
        """The listed unit that every given spelling names, or None."""
        units = self.features["features"][feature]["units"]
        named = []
        for text in texts:
            hit = [
                u
                for u, d in units.items()
                if isinstance(text, str) and text.strip() in [str(s) for s in d["spellings"]]
            ]
            named.append(hit[0] if hit else None)
        if not named or None in named or len(set(named)) > 1:
            return None
        return named[0] if units[named[0]]["factor_to_canonical"] is not None else None

    def quantity(self, o, feature):
        """{why, value, exact, reported, unit, comparator}; why is None when the value may be used."""
        f = self.features["features"][feature]
        out = {"why": None, "value": None, "exact": None, "reported": None, "unit": None, "comparator": None}
        q = o.get("valueQuantity")
        if q is None and feature == "uacr" and isinstance(o.get("valueString"), str):
            m = re.fullmatch(r"([<>])\s?(\d+(?:\.\d+)?)(?:\s?(\S.*))?", o["valueString"].strip())
            if m:
                q = {"value": m[2], "comparator": m[1], **({"unit": m[3]} if m[3] else {})}
        number = (q or {}).get("value")
        if number is None or isinstance(number, bool) or (isinstance(number, float) and not math.isfinite(number)):
            return {**out, "why": "no_value"}
        if isinstance(number, str) and "valueQuantity" in o:
            return {**out, "why": "no_value"}
        unit = self.unit_of([q[k] for k in ("unit", "code") if q.get(k) is not None], feature)
        if unit is None:
            return {**out, "why": "unit"}
        factor = f["units"][unit]["factor_to_canonical"]
        reported = Fraction(str(number))
        exact = reported * Fraction(repr(factor))
        out.update(unit=unit, reported=reported, exact=exact, value=float(exact), comparator=q.get("comparator"))
        if out["comparator"]:
            if feature != "uacr" or out["comparator"] not in ("<", ">"):
                return {**out, "why": "comparator"}
            molar = unit == "mg/mmol"
            if out["comparator"] == "<" and (reported > Fraction("3.4") if molar else exact > 30):
                return {**out, "why": "comparator"}
            if out["comparator"] == ">" and (reported < 30 if molar else exact < 300):
                return {**out, "why": "comparator"}
        if feature == "uacr" and exact == 0:
            return {**out, "why": "zero"}
        low, high = f["reject_outside_canonical"]
        if exact < Fraction(str(low)) or exact > Fraction(str(high)):
            return {**out, "why": "implausible"}
        low, high = f["plausible_canonical"]
        if exact < Fraction(str(low)) or exact > Fraction(str(high)):
            out["unusual"] = True
        return out

    def flag_unusual(self, got, feature):
        if got.get("unusual") and not got["why"]:
            self.flags.append(feature + " unusual")
        return got

    # ---- eGFR

    def ckd_epi(self, o, date, creatinine):
        age = age_on(self.patient.get("birthDate"), written_day(self.observation_text(o), date))
        return None if age is None else ckd_epi_2021(creatinine, age, self.sex_value())

    def egfr(self):
        """(value, source id, date, why)."""
        v = self.gates["values"]["egfr"]
        year = months_before(self.at, 12)
        every = self.results("serum_creatinine")
        eligible = [p for p in every if not self.in_hospital(p[0])]
        newest = self.newest(eligible)
        recent = newest if newest and newest[1][0] >= year else None
        first = self.newest(self.coded({str(c) for c in v["reported_if_newer_by_a_day"]}))
        if first and first[1][0] >= year and (recent is None or first[1][1] - recent[1][1] >= days(1)):
            return self.reported(first)
        if recent:
            got = self.flag_unusual(self.quantity(recent[0], "serum_creatinine"), "creatinine")
            if got["why"]:
                return None, recent[0].get("id"), recent[1], got["why"]
            value = self.ckd_epi(*recent, got["value"])
            return value, recent[0].get("id"), recent[1], None if value is not None else "age"
        for tier in v["reported_only_if_no_creatinine_in_12_months"]:
            other = self.newest(self.coded({str(c) for c in tier}))
            if other and other[1][0] >= year:
                self.flags.append("eGFR code " + has_loinc(other[0], {str(c) for c in tier})[0])
                return self.reported(other)
        if any(d[0] >= year for o, d in every):
            return None, None, None, "hospital_only"
        if newest or first:
            return None, None, None, "old"
        if self.coded({str(c) for c in v["refused_for_risk"]}):
            return None, None, None, "refused_code"
        return None, None, None, "none"

    def reported(self, pair):
        got = self.flag_unusual(self.quantity(pair[0], "egfr_reported"), "eGFR")
        return None if got["why"] else got["value"], pair[0].get("id"), pair[1], got["why"]

    def chronic(self, date):
        v = self.gates["values"]["egfr"]
        for r, d, _ in self.hits(self.code_sets("ckd_diagnosis", ["icd10cm", "icd10who", "icd9cm", "snomed"])):
            if r["resourceType"] == "Condition" and condition_active(r) and (d is None or d[1] <= self.at - days(90)):
                return True
        for o, d in self.results("serum_creatinine"):
            if d[1] <= date[1] - days(90) and not self.in_hospital(o):
                got = self.quantity(o, "serum_creatinine")
                value = None if got["why"] else self.ckd_epi(o, d, got["value"])
                if value is not None and value < 60:
                    return True
        for o, d in self.coded(
            {str(c["code"]) for c in self.features["features"]["egfr_reported"]["loinc"]},
            {str(c) for c in v["never_read"]},
        ):
            if d[1] <= date[1] - days(90):
                got = self.quantity(o, "egfr_reported")
                if not got["why"] and got["value"] < 60:
                    return True
        return False

    # ---- albuminuria

    def uacr(self):
        """(quantity or {'why'}, source id, date)."""
        newest = self.newest("uacr")
        if newest and newest[1][0] >= months_before(self.at, 24):
            return self.flag_unusual(self.quantity(newest[0], "uacr"), "uACR"), newest[0].get("id"), newest[1]
        pcr = self.newest("upcr")
        if pcr and pcr[1][0] >= months_before(self.at, 12):
            got = self.flag_unusual(self.quantity(pcr[0], "upcr"), "PCR")
            if got["why"]:
                return {"why": "pcr_" + got["why"]}, pcr[0].get("id"), pcr[1]
            self.flags.append("from PCR" + (" below 50" if got["value"] < 50 else ""))
            got["value"] = uacr_from_pcr(
                got["value"], self.sex_value() == "female", self.has("diabetes"), self.has("hypertension")
            )
            return got, pcr[0].get("id"), pcr[1]
        return {"why": "old" if newest else "none"}, None, None

    def has(self, disease):
        d = self.features["conditions"][disease]
        sets = {"icd10cm": ("icd10cm", d["icd10cm_prefixes"]), "snomed": ("snomed", d["snomed_parents"])}
        return any(r["resourceType"] == "Condition" and condition_active(r) for r, _, _ in self.hits(sets))


# ---------------------------------------------------------------- equations


def ckd_epi_2021(scr, age, sex):
    k, a = (0.7, -0.241) if sex == "female" else (0.9, -0.302)
    return 142 * min(scr / k, 1) ** a * max(scr / k, 1) ** -1.200 * 0.9938**age * (1.012 if sex == "female" else 1)


def uacr_from_pcr(pcr, female, diabetes, hypertension):
    """Sumida 2020, adjusted (coefficients as in PyPI kfre 0.1.18 `upcr_uacr`; rows: uacr_conversion_reference.csv)."""
    return math.exp(
        5.2659
        + 0.2934 * math.log(min(pcr / 50, 1))
        + 1.5643 * math.log(max(min(pcr / 500, 1), 0.1))
        + 1.1109 * math.log(max(pcr / 500, 1))
        - 0.0773 * female
        + 0.0797 * diabetes
        + 0.1265 * hypertension
    )


def kfre4(kfre, age, sex, egfr, uacr, region):
    x = {"age": age / 10, "male": 1 if sex == "male" else 0, "egfr": egfr / 5, "lacr": math.log(uacr)}
    hazard = math.exp(sum(kfre["betas"][4][n] * (x[n] - kfre["means"][n]) for n in x))
    where = "NA" if region == "north-america" else "nonNA"
    return tuple(1 - kfre["S0"][4][f"{where}_{y}y"] ** hazard for y in (2, 5))


# ---------------------------------------------------------------- the answer


def answer(resources: list, at: dt.datetime, region: str = "north-america", path: str | None = None) -> dict:
    at_day = at.date()
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    chart = Chart(resources, at.astimezone(UTC), shared_dir(path))
    chart.at_day = at_day
    out = {
        "outcome": "not-scored",
        "reason": None,
        "risk_2y": None,
        "risk_5y": None,
        "egfr": None,
        "egfr_from": None,
        "uacr_mg_g": None,
        "uacr_from": None,
        "chronic": None,
        "flags": chart.flags,
    }

    def stop(reason):
        out["reason"] = reason
        out["flags"] = sorted(set(chart.flags))
        return out

    if chart.patient is None:
        return stop("no_patient")
    for gate in chart.gates["matching"]["order"]:
        if gate == "egfr":
            break
        reason = getattr(chart, gate)()
        if reason:
            return stop(reason)
    egfr, source, date, why = chart.egfr()
    out.update(egfr=egfr, egfr_from=source)
    if why:
        return stop("egfr_missing:" + why)
    out["chronic"] = chart.chronic(date)
    if egfr >= 60:
        return stop("egfr")
    acr, source, acr_date = chart.uacr()
    out["uacr_from"] = source
    if acr["why"]:
        return stop("uacr_missing:" + acr["why"])
    out["uacr_mg_g"] = acr["value"]
    if acr_date[0] < months_before(chart.at, 12) or abs(acr_date[1] - date[1]) > days(180):
        chart.flags.append("uacr old")
    if acr["comparator"]:
        chart.flags.append({"<": "at most", ">": "at least"}[acr["comparator"]])
    age = age_on(chart.patient.get("birthDate"), at_day)
    two, five = kfre4(chart.kfre, age, chart.sex_value(), egfr, acr["value"], region)
    if acr["comparator"] == ">" and five <= 0.05:
        return stop("uacr_above_range")
    out.update(outcome="risk", risk_2y=two, risk_5y=five)
    return stop("risk")


def eligible_creatinine_times(resources, path=None):
    """The instants of every eligible creatinine ever (any `at`), oldest first."""
    chart = Chart(resources, dt.datetime.max.replace(tzinfo=UTC), shared_dir(path))
    return sorted({d[1] for o, d in chart.results("serum_creatinine") if not chart.in_hospital(o)})


def last_encounter_end(resources):
    ends = [
        when((r.get("period") or {}).get(k))
        for r in resources
        if r.get("resourceType") == "Encounter"
        for k in ("end", "start")
    ]
    return max((e[1] for e in ends if e), default=None)


def instants(resources: list, mode: str, path: str | None = None) -> list:
    """The `at`s of one patient under a mode: an ISO instant, or one day after their latest creatinine (`latest`),
    every creatinine (`every`), or last encounter (`last-encounter`)."""
    if mode in ("latest", "every"):
        times = eligible_creatinine_times(resources, path)
        return [t + days(1) for t in (times[-1:] if mode == "latest" else times)]
    if mode == "last-encounter":
        end = last_encounter_end(resources)
        return [end + days(1)] if end else []
    at = dt.datetime.fromisoformat(mode)
    return [at if at.tzinfo else at.replace(tzinfo=UTC)]


# ---------------------------------------------------------------- folders


def load(folder):
    """{patient id: [resources]} of a folder of NDJSON files and JSON bundles."""
    resources = []
    for name in sorted(glob.glob(os.path.join(folder, "*"))):
        if name.endswith(".ndjson"):
            with open(name, encoding="utf-8") as f:
                resources += [json.loads(line) for line in f if line.strip()]
        elif name.endswith(".json"):
            with open(name, encoding="utf-8") as f:
                top = json.load(f)
            resources += (
                [e["resource"] for e in top.get("entry") or [] if "resource" in e]
                if top.get("resourceType") == "Bundle"
                else [top]
            )
    resources = [r for r in resources if isinstance(r, dict) and r.get("resourceType")]
    patients = {r["id"]: r for r in resources if r["resourceType"] == "Patient"}
    same = {
        last_part(link.get("other")): pid
        for pid, p in patients.items()
        for link in p.get("link") or []
        if link.get("type") == "replaces"
    }
    charts = {pid: [p] for pid, p in patients.items() if pid not in same}
    for r in resources:
        if r["resourceType"] != "Patient":
            who = last_part(r.get("subject") or r.get("patient"))
            who = same.get(who, who)
            if who in charts:
                charts[who].append(r)
    return charts


def main(argv=None):
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("folder")
    ap.add_argument("--at", required=True, help="ISO instant, latest, every or last-encounter")
    ap.add_argument("--region", default="north-america")
    ap.add_argument("--shared", help="default: BEDSIDE_TEST_DATA, else ../shared")
    ap.add_argument("--out", help="JSON lines, one patient each")
    a = ap.parse_args(argv)
    counts = collections.Counter()
    lines = []
    for pid, resources in sorted(load(a.folder).items()):
        for at in instants(resources, a.at, a.shared) or [None]:
            if at is None:
                got = {"outcome": "not-run", "reason": f"no instant for --at {a.at}"}
            else:
                got = answer(resources, at, a.region, a.shared)
            counts[got["outcome"], got["reason"]] += 1
            lines.append({"patient": pid, "at": at.isoformat() if at else None, "answer": got})
    if a.out:
        os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
        with open(a.out, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in lines)
    print(f"{sum(counts.values())} answers, {a.folder}, at {a.at}, {a.region}")
    for (outcome, reason), n in sorted(counts.items(), key=lambda c: (-c[1], c[0])):
        print(f"{n:5}  {outcome:11} {reason}")


if __name__ == "__main__":
    sys.exit(main())
