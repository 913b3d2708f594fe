"""The twelve stories, each a patient and the rows of a chart, as of 22 November 2026."""

from dataclasses import dataclass

from fhir_fixtures.shapes import Done, Drug, Pressure, Problem, Result, Row, Visit

AT = "2026-11-22T14:02:00Z"
"""The moment at which every story is told."""


@dataclass(frozen=True)
class Story:
    """One patient, and what the kidney failure service should make of the chart at `AT`.

    `egfr` is in mL/min/1.73 m² as shown (CKD-EPI 2021, from the latest creatinine); `five_years` and `two_years` are
    percentages of the 4-variable North American equation, None where nothing may be scored.
    """

    name: str
    patient: str
    given: str
    family: str
    gender: str
    born: str
    told: str
    expected: str
    rows: tuple[Row, ...]
    egfr: int | None = None
    five_years: float | None = None
    two_years: float | None = None
    died: str | None = None


def checkup(day: str, systolic: int, diastolic: int, **results: float) -> tuple[Row, ...]:
    """An office visit with a blood pressure and some results; `uacr_si` stands for the measure uacr-si."""
    measured = tuple(Result(day, name.replace("_", "-"), value) for name, value in results.items())
    return (Visit(day), Pressure(day, systolic, diastolic), *measured)


STORIES: tuple[Story, ...] = (
    Story(
        "low", "low-68f", "Marigold", "Tansywick", "female", "1958-06-20",
        "Stable stage 3a, a little albumin in the urine",
        "LOW: silence; the risk is in the ledger and on the page",
        (
            Problem("2019-05-14", "hypertension"),
            Problem("2024-10-08", "ckd-3a"),
            Problem("2021-02-16", "osteoarthritis"),
            Drug("2025-10-07", "lisinopril"),
            *checkup("2025-10-07", 132, 78, creatinine=1.21, egfr=49, uacr=41, sodium=140),
            *checkup("2026-10-20", 128, 76, creatinine=1.23, egfr=48, uacr=45, sodium=139),
        ),
        egfr=48, five_years=1.1, two_years=0.3,
    ),
    Story(
        "refer", "refer-64m", "Osbert", "Quillfeather", "male", "1962-06-15",
        "Diabetic stage 3b, falling slowly, never seen by nephrology",
        "REFER: info card above the 5 % referral threshold, draft referral offered, trend from 10.2 % on 4 May 2026",
        (
            Problem("2012-03-06", "hypertension"),
            Problem("2014-09-23", "diabetes"),
            Problem("2025-05-06", "diabetic-ckd"),
            Problem("2025-05-06", "ckd-3b"),
            Problem("2016-01-19", "hyperlipidemia"),
            Drug("2024-05-07", "metformin", "stopped", "1 by mouth twice a day"),
            Drug("2025-05-06", "lisinopril"),
            Drug("2026-05-04", "amlodipine"),
            *checkup("2024-05-07", 146, 88, creatinine=1.64, hba1c=7.6, sodium=139, weight=88.5),
            *checkup("2025-05-06", 144, 86, creatinine=1.76, uacr=240, hba1c=7.4, potassium=4.6, weight=88.1),
            *checkup("2025-11-04", 138, 82, creatinine=1.84, egfr=41, hba1c=7.3, potassium=4.8, weight=87.4),
            Result("2026-04-20", "uacr", 290, clock="07:30"),
            *checkup("2026-05-04", 142, 84, creatinine=1.95, egfr=38, hba1c=7.2, potassium=4.7, weight=86.9),
            Result("2026-09-12", "uacr", 310, clock="07:45"),
            # Three decimals, as analysers that do not round send them: two reach 15.3 % or 15.6 %, never 15.4 %.
            *checkup("2026-11-03", 138, 82, creatinine=2.125, egfr=34, hba1c=7.1, potassium=4.9, weight=86.2),
            Result("2026-11-03", "sodium", 138),
            Result("2026-11-03", "hemoglobin", 12.1),
        ),
        egfr=34, five_years=15.4, two_years=5.2,
    ),
    Story(
        "high", "high-58m", "Barnaby", "Thistlecombe", "male", "1968-05-30",
        "Late stage 4 with heavy albuminuria, no nephrology visit on record",
        "HIGH: warning card, above 40 % in 2 years",
        (
            Problem("2010-06-02", "hypertension"),
            Problem("2011-08-17", "diabetes"),
            Problem("2024-09-10", "diabetic-ckd"),
            Problem("2024-09-10", "ckd-4"),
            Drug("2025-09-16", "losartan"),
            Drug("2026-04-14", "furosemide"),
            *checkup("2025-09-16", 156, 90, creatinine=3.21, uacr=1180, hba1c=7.8, sodium=139),
            *checkup("2026-04-14", 152, 88, creatinine=3.62, egfr=19, hba1c=7.5, sodium=138, potassium=5.1),
            *checkup("2026-10-27", 150, 86, creatinine=4.11, egfr=16, uacr=1400, hemoglobin=10.4, potassium=5.3),
        ),
        egfr=16, five_years=93.9, two_years=59.3,
    ),
    Story(
        "missing", "missing-55f", "Philippa", "Larkspurling", "female", "1971-05-18",
        "Confirmed eGFR under 60; the only urine ACR is thirty months old",
        "MISSING: info card, no urine ACR in the last 24 months, order offered",
        (
            Problem("2018-11-27", "hypertension"),
            Problem("2022-04-05", "asthma"),
            Drug("2025-11-18", "losartan"),
            *checkup("2024-05-22", 136, 84, creatinine=1.42, uacr=180, sodium=141),
            *checkup("2025-11-18", 134, 82, creatinine=1.48, sodium=140),
            *checkup("2026-09-29", 136, 80, creatinine=1.55, egfr=39, sodium=140),
        ),
        egfr=39,
    ),
    Story(
        "unit", "unit-70m", "Cuthbert", "Fernhollow", "male", "1956-06-09",
        "The latest urine ACR is the bare number 35",
        "UNIT: info card, urine ACR of 35 (12 Sep 2026) has no unit; the older, usable value does not stand in",
        (
            Problem("2015-07-21", "hypertension"),
            Problem("2023-08-15", "hyperlipidemia"),
            Drug("2025-09-09", "amlodipine"),
            *checkup("2025-09-09", 138, 80, creatinine=1.58, uacr=33, sodium=142),
            *checkup("2026-09-12", 134, 78, creatinine=1.62, egfr=45, sodium=141),
            Result("2026-09-12", "uacr", 35, bare=True),
        ),
        egfr=45,
    ),
    Story(
        "transplant", "transplant-47m", "Ignatius", "Mosswater", "male", "1979-07-03",
        "A kidney transplant that has worked for five years",
        "Not scored: kidney transplant recorded 3 May 2021",
        (
            Problem("2019-06-11", "kidney-failure", resolved="2021-05-03"),
            Visit("2021-05-03", "IMP", 144),
            Done("2021-05-03", "kidney-transplant"),
            Problem("2021-05-03", "transplanted-kidney"),
            Drug("2025-10-14", "tacrolimus", take="2 by mouth twice a day"),
            *checkup("2025-10-14", 130, 78, creatinine=1.48, uacr=52, sodium=139),
            *checkup("2026-10-13", 128, 80, creatinine=1.52, egfr=57, uacr=60, sodium=140),
        ),
        egfr=57,
    ),
    Story(
        "dialysis", "dialysis-59f", "Wilhelmina", "Copperbeck", "female", "1967-06-27",
        "Haemodialysis three times a week",
        "Not scored: dialysis recorded",
        (
            Problem("2008-02-12", "hypertension"),
            Problem("2025-08-04", "on-dialysis"),
            Drug("2026-06-16", "sevelamer", take="1 by mouth with each meal"),
            *checkup("2026-06-16", 148, 82, creatinine=6.42, uacr=2100, hemoglobin=10.2, potassium=5.4),
            *(
                row
                for day in ("2026-11-13", "2026-11-16", "2026-11-18", "2026-11-20")
                for row in (Visit(day, hours=5), Done(day, "hemodialysis"))
            ),
            Result("2026-11-20", "creatinine-predialysis", 7.1, clock="08:45"),
        ),
        egfr=7,
    ),
    Story(
        "aki", "aki-71f", "Rosalind", "Emberley", "female", "1955-05-26",
        "Creatinine doubled within a week, three weeks ago, then came down",
        "Not scored: acute kidney injury 1 Nov 2026; repeat when stable, 90 days after",
        (
            Problem("2013-10-29", "hypertension"),
            Drug("2026-04-07", "lisinopril"),
            *checkup("2025-10-21", 134, 76, creatinine=1.19, uacr=38, sodium=139),
            *checkup("2026-04-07", 132, 78, creatinine=1.2, uacr=44, sodium=140),
            *checkup("2026-10-27", 118, 66, creatinine=1.2, sodium=137),
            Visit("2026-11-01", "IMP", 96),
            Result("2026-11-01", "creatinine", 2.4, clock="10:05"),
            Problem("2026-11-01", "acute-kidney-injury", "encounter-diagnosis"),
            *checkup("2026-11-12", 128, 74, creatinine=1.35, potassium=4.4),
        ),
        egfr=42,
    ),
    Story(
        "stale", "stale-73f", "Henrietta", "Brackenhall", "female", "1953-06-12",
        "Stage 4 on the problem list, no blood test for fourteen months",
        "Not scored: creatinine too old; info card, since the diagnosis makes the patient eligible",
        (
            Problem("2009-12-01", "hypertension"),
            Problem("2024-08-20", "ckd-4"),
            Drug("2025-09-22", "furosemide"),
            *checkup("2024-08-20", 150, 84, creatinine=1.82, uacr=470, sodium=140),
            *checkup("2025-09-22", 148, 82, creatinine=1.9, egfr=28, uacr=520, sodium=139),
            Visit("2026-07-14"),
            Pressure("2026-07-14", 146, 80),
        ),
    ),
    Story(
        "single", "single-61f", "Clementine", "Hazelrigg", "female", "1965-05-22",
        "One creatinine ever, no kidney diagnosis, much albumin in the urine",
        "REFER: info card labelled one eGFR, not yet confirmed chronic; no draft referral",
        (
            Problem("2026-10-15", "hypertension"),
            Drug("2026-10-15", "lisinopril"),
            *checkup("2026-10-15", 158, 92, creatinine=1.45, uacr=480, hba1c=5.6, sodium=140),
        ),
        egfr=41, five_years=7.5, two_years=2.5,
    ),
    Story(
        "si-units", "si-units-66m", "Leopold", "Wrenfield", "male", "1960-06-06",
        "A chart in SI units and WHO ICD-10",
        "REFER: the same card as in mg/dL and mg/g",
        (
            Problem("2011-04-12", "hypertension-who"),
            Problem("2025-06-17", "ckd-3-who"),
            Drug("2026-04-21", "amlodipine"),
            *checkup("2025-06-17", 140, 84, creatinine_si=168, uacr_si=51.5, sodium=141),
            *checkup("2026-04-21", 138, 84, creatinine_si=178, sodium=140),
            *checkup("2026-10-06", 136, 82, creatinine_si=186, uacr_si=62, sodium=139),
        ),
        egfr=34, five_years=18.8, two_years=6.4,
    ),
    Story(
        "deceased", "deceased-74f", "Araminta", "Dunwhistle", "female", "1952-06-11",
        "Died three months ago, with a chart that would have scored",
        "Not scored: deceased; no card",
        (
            Problem("2006-05-09", "hypertension"),
            Problem("2024-04-16", "ckd-4"),
            Drug("2025-12-09", "furosemide"),
            *checkup("2025-12-09", 142, 78, creatinine=2.11, uacr=840, sodium=138),
            *checkup("2026-06-24", 138, 74, creatinine=2.28, egfr=22, uacr=900, sodium=137),
        ),
        egfr=22, died="2026-08-19T04:30:00-04:00",
    ),
)  # fmt: skip
"""Told in the order of the table in README.md, which is written from them."""
