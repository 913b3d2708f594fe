"""The words with which a site writes its models and services."""

from msgspec import structs

from cds.cdshooks.card import REASON_SYSTEM, SUMMARY_LIMIT, Action, Card, Coding, Indicator, Link, Source, Suggestion
from cds.cdshooks.drafts import Draft
from cds.cdshooks.service import Guidance, HookCall, ServiceSettings, hook, silence
from cds.features.admission import (
    STAY_CODES,
    AcuteAdmission,
    Admissions,
    EmergencyVisits,
    FromService,
    LastOfStay,
    LengthOfStay,
    ProcedureInStay,
)
from cds.features.answered import Answered
from cds.features.body import BodyMassIndex, MeanOf
from cds.features.charlson import CHARLSON_CODES, Charlson
from cds.features.diagnoses import CONDITION_CODES, diagnosed
from cds.features.feature import Bound, Feature, Missing, Need, Reading, spell
from cds.features.kinds import (
    ACTIVE,
    CONDITIONS,
    ENCOUNTERS,
    PROCEDURES,
    Age,
    Deceased,
    Ever,
    Latest,
    Sex,
    newest_of,
    reading,
    recorded,
    unusable,
    within_days,
)
from cds.features.labs import lab_series
from cds.features.medications import MEDICATION_CODES, MEDICATIONS, STATEMENTS, Taking
from cds.features.predictors import Predictors
from cds.features.race import Race
from cds.features.results import ABSENT, COUNTED, Result, Results, Series
from cds.features.smoking import Smoking
from cds.features.vitals import ALERT, GCS, Consciousness, OxygenSupport, Vital, VitalSigns
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, read_code_sets
from cds.fhir.facts import Fact
from cds.fhir.times import LookBack, When, age_on, days, hours, months
from cds.risk.assessment import people, percent, risk_assessment, rounded, shown_number
from cds.risk.estimate import Estimate, NotScored, Number, Outcome, Refusal, Risk, Score, beside
from cds.risk.explanation import (
    Contribution,
    Course,
    CoursePoint,
    Explanation,
    Input,
    Knob,
    OutOfRange,
    plain_inputs,
    within,
)
from cds.risk.model import ModelSettings, Reference, RiskModel, Slot
from cds.risk.model_card import Threshold
from cds.risk.points import NOT_THERE, Item, PointsModel, asked_item, measured_item, recorded_item, total, up_to
from cds.risk.refusals import FAULTS, cut, lacking, no_stay, notes_of, unsuited, very_old, without_answer
from cds.risk.trained import Told, TrainedModel
from cds.text import day_text, plain, slug, table

__all__ = [
    "ABSENT",
    "ACTIVE",
    "ALERT",
    "CHARLSON_CODES",
    "CONDITIONS",
    "CONDITION_CODES",
    "COUNTED",
    "ENCOUNTERS",
    "FAULTS",
    "GCS",
    "MEDICATIONS",
    "MEDICATION_CODES",
    "NOT_THERE",
    "PROCEDURES",
    "REASON_SYSTEM",
    "STATEMENTS",
    "STAY_CODES",
    "SUMMARY_LIMIT",
    "Action",
    "AcuteAdmission",
    "Admissions",
    "Age",
    "Answered",
    "BodyMassIndex",
    "Bound",
    "Card",
    "Charlson",
    "Chart",
    "CodeSet",
    "Coding",
    "Consciousness",
    "Contribution",
    "Course",
    "CoursePoint",
    "Deceased",
    "Draft",
    "EmergencyVisits",
    "Estimate",
    "Ever",
    "Explanation",
    "Fact",
    "Feature",
    "FromService",
    "Guidance",
    "HookCall",
    "Indicator",
    "Input",
    "Item",
    "Knob",
    "LastOfStay",
    "Latest",
    "LengthOfStay",
    "Link",
    "LookBack",
    "MeanOf",
    "Missing",
    "ModelSettings",
    "Need",
    "NotScored",
    "Number",
    "OutOfRange",
    "Outcome",
    "OxygenSupport",
    "PointsModel",
    "Predictors",
    "ProcedureInStay",
    "Race",
    "Reading",
    "Reference",
    "Refusal",
    "Result",
    "Results",
    "Risk",
    "RiskModel",
    "Score",
    "Series",
    "ServiceSettings",
    "Sex",
    "Slot",
    "Smoking",
    "Source",
    "Suggestion",
    "Taking",
    "Threshold",
    "Told",
    "TrainedModel",
    "Vital",
    "VitalSigns",
    "When",
    "age_on",
    "asked_item",
    "beside",
    "cut",
    "day_text",
    "days",
    "diagnosed",
    "hook",
    "hours",
    "lab_series",
    "lacking",
    "measured_item",
    "months",
    "newest_of",
    "no_stay",
    "notes_of",
    "people",
    "percent",
    "plain",
    "plain_inputs",
    "read_code_sets",
    "reading",
    "recorded",
    "recorded_item",
    "risk_assessment",
    "rounded",
    "shown_number",
    "silence",
    "slug",
    "spell",
    "structs",
    "table",
    "total",
    "unsuited",
    "unusable",
    "up_to",
    "very_old",
    "within",
    "within_days",
    "without_answer",
]
