"""What a clinician reads: every sentence of the kidney failure service, over charts built for it."""

import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from fhir_fixtures.stories import STORIES
from tests.cdshooks.charts import CREATININE, EGFR, UACR, UPCR, Json, condition, creatinine_for, kidney, lab, person
from tests.cdshooks.desk import Desk, with_key

Open = Callable[..., Desk]
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
LABEL = re.compile(r"\d+\.\d%|<0\.1%|>99\.9%")
PALLIATIVE = condition("Z51.5", ICD, ago=20)
SAVE, REFER, ORDER_ACR = (
    "Save this risk assessment to the chart",
    "Draft a nephrology referral",
    "Order a urine albumin-creatinine ratio",
)


def bound(comparator: str, value: float = 300) -> Json:
    return {"valueQuantity": {"value": value, "unit": "mg/g", "comparator": comparator}}


def labels(card: Json) -> list[str]:
    return [s["label"] for s in card.get("suggestions", [])]


def low(**members: Any) -> list[Json]:
    return kidney(48, 45, age=68, sex="female", **members)


SAID: list[tuple[str, list[Json], str, str, list[str]]] = [
    (
        "refer",
        kidney(34, 310),
        "info",
        "Kidney failure risk 15.4% in 5 years, above the 5% referral threshold. Consider nephrology referral.",
        [SAVE, REFER],
    ),
    (
        "high",
        kidney(16, 1400, age=58),
        "warning",
        (
            "Kidney failure risk 59.3% in 2 years, above 40%. "
            "Plan dialysis, transplant or conservative care with nephrology."
        ),
        [SAVE, REFER],
    ),
    (
        "missing",
        kidney(34, None),
        "info",
        "Kidney failure risk not calculated: no urine albumin-creatinine ratio in the last 24 months.",
        [ORDER_ACR],
    ),
    (
        "too old",
        kidney(34, None, lab(UACR, 180, "mg/g", ago=800)),
        "info",
        "Kidney failure risk not calculated: no urine albumin-creatinine ratio in the last 24 months.",
        [ORDER_ACR],
    ),
    (
        "no unit",
        kidney(34, 35, unit=None),
        "info",
        "Kidney failure risk not calculated: urine ACR of 35 (2 Nov 2026) has no unit.",
        [ORDER_ACR],
    ),
    (
        "a unit that is not accepted",
        kidney(34, 35, unit="mg/L"),
        "info",
        "Kidney failure risk not calculated: urine ACR of 35 mg/L (2 Nov 2026) has a unit that is not accepted.",
        [ORDER_ACR],
    ),
    (
        "stale",
        [person(), lab(CREATININE, 2.0, "mg/dL", ago=400), lab(UACR, 310, "mg/g"), condition("433144002")],
        "info",
        "Kidney failure risk not calculated: no creatinine or eGFR in the last 12 months.",
        ["Order a serum creatinine"],
    ),
    (
        "eGFR below 30",
        kidney(28, 5, age=80),
        "info",
        "eGFR 28 is below 30: consider nephrology referral. Kidney failure risk <ANY> in 5 years.",
        [SAVE, REFER],
    ),
    (
        "urine albumin 300 and above",
        kidney(55, 400),
        "info",
        (
            "Urine ACR 400 mg/g (45 mg/mmol) is 300 mg/g or more: consider nephrology referral. "
            "Kidney failure risk <ANY> in 5 years."
        ),
        [SAVE, REFER],
    ),
    (
        "a bound below what matters",
        kidney(34, 10, **bound("<", 10)),
        "info",
        "",
        [],
    ),
]


@pytest.mark.parametrize("row", SAID, ids=lambda row: row[0])
def test_what_is_said(desk: Desk, row: tuple[str, list[Json], str, str, list[str]]) -> None:
    _, resources, indicator, summary, offered = row
    card = desk.card(resources)
    if not summary:
        assert card == {}
        return
    assert LABEL.sub("<ANY>", card["summary"]) == LABEL.sub("<ANY>", summary)
    if "<ANY>" not in summary:
        assert card["summary"] == summary
    assert (card["indicator"], labels(card)) == (indicator, offered)


def test_low_is_silent_unless_the_site_shows_it(desk: Desk, open_desk: Open) -> None:
    assert desk.card(low()) == {}
    shown = open_desk(service={"show_low_risk": True}).card(low())
    assert shown["summary"] == (
        "Kidney failure risk 1.1% in 5 years, below the 5% threshold. Other reasons to refer may still apply."
    )
    assert (shown["indicator"], labels(shown)) == ("info", [SAVE])
    assert "no referral indicated" not in (shown["summary"] + shown["detail"]).lower()


def risk(desk: Desk, card: Json) -> tuple[float, float]:
    two, five = desk.last().scores[0].estimates
    return two["probability"], five["probability"]


@pytest.mark.parametrize("egfr", [15, 17, 19, 21, 23, 25, 27, 31, 33, 35, 38, 41, 44, 47, 50, 55, 59])
@pytest.mark.parametrize("acr", [20, 120, 290])
def test_d14_the_sentence_follows_the_unrounded_risk(desk: Desk, egfr: float, acr: float) -> None:
    card = desk.card(kidney(egfr, acr))
    two, five = risk(desk, card)
    if two > 0.40:
        assert card["summary"].startswith(f"Kidney failure risk {two:.1%} in 2 years, above 40%.")
        assert card["indicator"] == "warning"
    elif two > 0.10:
        text = f"Kidney failure risk {two:.1%} in 2 years, above 10%. Consider multidisciplinary kidney care."
        assert (card["summary"], card["indicator"]) == (text, "info")
    elif five > 0.05:
        assert card["summary"].startswith(
            f"Kidney failure risk {five:.1%} in 5 years, above the 5% referral threshold."
        )
    elif egfr < 30:
        assert card["summary"].startswith(f"eGFR {egfr} is below 30: consider nephrology referral.")
    else:
        assert card == {}


def test_middle(desk: Desk) -> None:
    card = desk.card(kidney(22, 900))
    two, _ = risk(desk, card)
    assert 0.10 < two < 0.40
    assert (
        card["summary"]
        == f"Kidney failure risk {two:.1%} in 2 years, above 10%. Consider multidisciplinary kidney care."
    )
    assert "practice point 2.2.2" in card["detail"]
    assert labels(card) == [SAVE, REFER]


@pytest.mark.parametrize(("percent", "shows"), [(5.0, False), (4.0, True), (3.5, True), (3.0, True)])
def test_d14_a_site_may_set_its_threshold(open_desk: Open, percent: float, shows: bool) -> None:
    desk = open_desk(model={"referral_percent": percent})
    card = desk.card(kidney(42, 120))
    _, five = risk(desk, card)
    assert 0.04 < five < 0.05
    assert bool(card) is shows
    if shows:
        assert f"above the {percent:g}% referral threshold" in card["summary"]
        assert f"this site: {percent:g}%" in card["detail"]


@pytest.mark.parametrize("percent", [2.9, 5.1, 0, "x"])
def test_d14_and_no_other(open_desk: Open, percent: Any) -> None:
    with pytest.raises(Exception, match="referral_percent"):
        open_desk(model={"referral_percent": percent})


def test_d7_at_most_may_not_reassure(desk: Desk) -> None:
    card = desk.card(kidney(28, 30, **bound("<", 30)))
    assert "at most" in card["detail"]
    assert "Order an exact urine albumin-creatinine ratio" in labels(card)
    high = desk.card(kidney(20, 30, **bound("<", 30)))
    assert re.fullmatch(
        r"Kidney failure risk at most \d+\.\d% in 5 years: urine ACR is reported only as a bound\. "
        r"Order an exact urine ACR\.",
        high["summary"],
    )
    assert (high["indicator"], labels(high)) == ("info", [SAVE, REFER, "Order an exact urine albumin-creatinine ratio"])


def test_d7_at_least_is_said(desk: Desk) -> None:
    card = desk.card(kidney(34, 300, **bound(">")))
    assert re.match(
        r"Kidney failure risk at least \d+\.\d% in 5 years, above the 5% referral threshold\.", card["summary"]
    )
    assert "| Urine ACR (spot urine) | at least 300 mg/g (34 mg/mmol) | 2 Nov 2026 |" in card["detail"]
    below = desk.card(kidney(58, 300, age=80, **bound(">")))
    assert below["summary"].startswith("Kidney failure risk not calculated: ")


@pytest.mark.parametrize(("egfr", "offered"), [(34, [SAVE]), (29, [SAVE, REFER])])
def test_d10_one_egfr_is_labelled_and_drafts_no_referral_unless_below_30(
    desk: Desk, egfr: float, offered: list[str]
) -> None:
    card = desk.card(kidney(egfr, 310, chronic=False))
    assert "one eGFR, not yet confirmed chronic" in card["detail"]
    assert labels(card) == offered
    confirmed = desk.card(kidney(egfr, 310))
    assert "not yet confirmed" not in confirmed["detail"]
    assert labels(confirmed) == [SAVE, REFER]


def test_d10_a_diagnosis_of_90_days_confirms(desk: Desk) -> None:
    for ago, offered in ((100, [SAVE, REFER]), (50, [SAVE])):
        assert labels(desk.card(kidney(34, 310, condition("433144002", ago=ago), chronic=False))) == offered


def test_d14_a_sustained_fall_is_a_criterion(desk: Desk) -> None:
    falling = [
        lab(CREATININE, creatinine_for(value, 75, "female"), "mg/dL", ago=ago)
        for value, ago in ((58, 340), (42, 150), (41, 20))
    ]
    card = desk.card([person(75, "female"), *falling, lab(UACR, 8, "mg/g")])
    assert card["summary"].startswith(
        "eGFR fell from 58 to 41 within a year: consider nephrology referral. Kidney failure risk "
    )


def care(desk: Desk, resources: list[Json], card_of: Callable[[Json], Json]) -> Json:
    """The answer with a visit to the kidney clinic of thirty days ago in the chart."""
    visit = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p1"},
        "type": [{"coding": [{"system": "urn:clinic", "code": "NEPH"}]}],
        "period": {"start": "2026-10-23T09:00:00Z", "end": "2026-10-23T10:00:00Z"},
    }
    return card_of(with_key(desk.call(resources), "encounters", visit))


def test_d17_kidney_care_in_place(open_desk: Open) -> None:
    desk = open_desk(codes={"urn:clinic|NEPH": "nephrology"})

    def card(call: Json) -> Json:
        cards = desk.post(call).json()["cards"]
        return cards[0] if cards else {}

    assert care(desk, kidney(34, 310), card) == {}
    assert care(desk, kidney(28, 5, age=80), card) == {}
    middle = care(desk, kidney(22, 900), card)
    assert (middle["indicator"], labels(middle)) == ("info", [SAVE])
    high = care(desk, kidney(16, 1400, age=58), card)
    assert (high["indicator"], labels(high)) == ("info", [SAVE])
    assert high["summary"].startswith("Kidney failure risk 59.3% in 2 years, above 40%.")


@pytest.mark.parametrize("resources", [kidney(34, 310), kidney(16, 1400), kidney(34, None)])
def test_palliative_care_is_silence(desk: Desk, resources: list[Json]) -> None:
    assert desk.card([*resources, PALLIATIVE]) == {}
    assert (desk.last().kind, desk.last().reason) == ("silent", "palliative-care")


def test_d17_preparation_for_dialysis_is_care_but_no_nephrology_visit(desk: Desk) -> None:
    """It silences the referral; a risk above 40 % stays a warning until nephrology has seen the patient."""
    preparation = condition("Z49.0", ICD, ago=60)
    assert desk.card([*kidney(34, 310), preparation]) == {}
    assert desk.last().reason == "kidney-care-in-place"
    high = desk.card([*kidney(16, 1400, age=58), preparation])
    assert (high["indicator"], labels(high)) == ("warning", [SAVE])


def test_d13_the_reason_of_a_silence_is_in_the_ledger(desk: Desk) -> None:
    assert desk.card(kidney(48, 45, age=68, sex="female")) == {}
    assert desk.last().reason == "low-risk"
    assert desk.card(kidney(75, 30)) == {}
    assert desk.last().reason == "egfr-60-or-above"


def test_d17_was(desk: Desk) -> None:
    earlier = [lab(CREATININE, creatinine_for(38), "mg/dL", ago=202), lab(UACR, 290, "mg/g", ago=216)]
    card = desk.card([*kidney(34, 310, chronic=False), *earlier])
    assert re.search(r"KDIGO G3b, A3\. Was \d+\.\d% in 5 years on 4 May 2026 \(eGFR 38\)\.\n", card["detail"])
    reported = [r for r in kidney(34, 310, chronic=False) if r.get("id") != f"{CREATININE}-20"]
    assert "Was " not in desk.card([*reported, lab(EGFR, 34, "mL/min/{1.73_m2}"), *earlier])["detail"]


def test_the_date_of_what_was_is_no_more_precise_than_it_was_written(desk: Desk) -> None:
    month = lab(CREATININE, creatinine_for(38), "mg/dL", ago=202, effectiveDateTime="2026-05")
    card = desk.card([*kidney(34, 310, chronic=False), month, lab(UACR, 290, "mg/g", ago=216)])
    assert re.search(r"Was \d+\.\d% in 5 years on May 2026 \(eGFR 38\)\.\n", card["detail"])


def test_hospital_only(desk: Desk) -> None:
    stay = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2026-11-01T09:00:00Z", "end": "2026-11-05T10:00:00Z"},
    }
    inside = lab(CREATININE, 2.0, "mg/dL", encounter={"reference": "Encounter/e1"})
    card = desk.card([person(), inside, lab(UACR, 310, "mg/g"), stay, condition("433144002")])
    assert card["summary"] == (
        "Kidney failure risk not calculated: hospital values only; "
        "no outpatient creatinine or eGFR in the last 12 months."
    )


def test_a_rise_of_creatinine_asks_for_another(desk: Desk) -> None:
    steps = [lab(CREATININE, 1.2, "mg/dL", ago=120), lab(CREATININE, 2.1, "mg/dL", ago=20)]
    card = desk.card([person(), *steps, lab(UACR, 310, "mg/g")])
    assert card["summary"] == "Creatinine up from 1.2 to 2.1 mg/dL: repeat now; kidney failure risk not calculated."
    assert labels(card) == ["Order a serum creatinine"]


OUT_OF_DOMAIN = {
    "transplant": (kidney(34, 310, condition("Z94.0", ICD)), "kidney transplant recorded 18 Oct 2025"),
    "under 18": (kidney(34, 310, age=17, chronic=False), "under 18"),
    "no sex": (
        [r | ({"gender": "other"} if r["resourceType"] == "Patient" else {}) for r in kidney()],
        "sex is not recorded as male or female",
    ),
    "no age": ([{k: v for k, v in r.items() if k != "birthDate"} for r in kidney()], "birth date is missing"),
    "eGFR 60": (kidney(75, 30), "eGFR 75: the equation is for eGFR below 60"),
    "pregnancy": (
        kidney(34, 310, condition("77386006", ago=60), age=30, sex="female"),
        "pregnant, or within 12 weeks of delivery",
    ),
}


@pytest.mark.parametrize("row", OUT_OF_DOMAIN)
def test_out_of_domain_is_silent_unless_the_site_shows_it(desk: Desk, open_desk: Open, row: str) -> None:
    resources, text = OUT_OF_DOMAIN[row]
    assert desk.card(resources) == {}
    card = open_desk(service={"show_out_of_domain": True}).card(resources)
    verb = "not calculated" if row in ("no sex", "no age") else "does not apply"
    assert card["summary"] == f"Kidney failure risk {verb}: {text}."
    assert (card["indicator"], labels(card)) == ("info", [])


def test_d12_a_variant_without_its_inputs_falls_back_and_says_so(open_desk: Open) -> None:
    desk = open_desk(service={"variant": "kfre-8"})
    whole = [
        lab("1751-7", 4.1, "g/dL"),
        lab("2777-1", 3.9, "mg/dL"),
        lab("1963-8", 25, "mmol/L"),
        lab("17861-6", 9.4, "mg/dL"),
    ]
    eight = desk.card(kidney(34, 310, *whole))
    assert "(8-variable, North America)" in eight["source"]["label"]
    assert "| Calcium | 9.4 mg/dL | 2 Nov 2026 |" in eight["detail"]
    four = desk.card(kidney(34, 310, *whole[:3]))
    assert "(4-variable, North America)" in four["source"]["label"]
    assert "the 8-variable equation needs calcium; the kfre-4 equation is shown instead" in four["detail"]
    assert four["summary"].startswith("Kidney failure risk 15.4%")


def test_d12_an_empty_search_means_that_a_diagnosis_is_absent(open_desk: Open) -> None:
    desk = open_desk(service={"variant": "kfre-6"})
    card = desk.card(kidney(34, 310, condition("38341003")))
    assert "(6-variable, North America)" in card["source"]["label"]
    assert "| Diabetes | not recorded |  |" in card["detail"]
    assert "| Hypertension | recorded |  |" in card["detail"]


def test_region_is_named(open_desk: Open) -> None:
    card = open_desk(model={"region": "elsewhere"}).card(kidney(30, 310))
    assert card["source"]["label"] == "Kidney Failure Risk Equation (4-variable, outside North America)"


def test_detail_holds_what_the_number_rests_on(desk: Desk) -> None:
    detail = desk.card(kidney(34, 310))["detail"]
    for text in (
        "**5 years: 15.4%** (about 15 in 100 people like this) · **2 years: 5.2%**",
        "| Age, sex | 64, male |  |",
        "| Urine ACR (spot urine) | 310 mg/g (35 mg/mmol) | 2 Nov 2026 |",
        "KDIGO 2024, recommendation 2.2.1 and practice point 2.2.1",
        "**Checked, not found:** kidney transplant, dialysis now, end-stage kidney disease, pregnancy, ",
        "Supports, does not replace, clinical judgement. Calculated 22 Nov 2026 14:02 UTC.",
    ):
        assert text in detail
    assert re.search(
        r"\| eGFR \(CKD-EPI 2021\) \| 34 mL/min/1\.73 m², from creatinine \S+ mg/dL \| 2 Nov 2026 \|", detail
    )


def test_age_80_and_more_is_warned_of(desk: Desk) -> None:
    assert "does not count death before kidney failure" in desk.card(kidney(28, 310, age=80))["detail"]
    assert "does not count death" not in desk.card(kidney(28, 310, age=79))["detail"]


def test_a_converted_protein_ratio_is_named(desk: Desk) -> None:
    card = desk.card(kidney(34, None, lab(UPCR, 900, "mg/g")))
    assert "converted from a protein-creatinine ratio" in card["detail"]
    assert "| Urine ACR (converted from PCR) |" in card["detail"]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_stories_of_the_demo(desk: Desk, story: Any) -> None:
    text = (files("fhir_fixtures") / "patients" / f"{story.name}.json").read_text(encoding="utf-8")
    resources = [entry["resource"] for entry in json.loads(text)["entry"]]
    card = desk.card(resources, of=story.patient)
    if story.five_years is not None and card and "not calculated" not in card["summary"]:
        assert f"{story.five_years:.1f}%" in card["detail"]
        assert f"{story.two_years:.1f}%" in card["detail"]
    if story.name == "refer":
        assert "Was 10.2% in 5 years on 4 May 2026 (eGFR 38)." in card["detail"]
    if story.expected.startswith(("LOW", "silence", "Silence")):
        assert card == {}


def test_an_egfr_just_below_30_does_not_read_as_30(desk: Desk) -> None:
    card = desk.card(kidney(29.6, 5, age=80))
    assert card["summary"].startswith("eGFR 29.6 is below 30: consider nephrology referral.")


def test_a_risk_just_above_the_threshold_reads_as_above(desk: Desk) -> None:
    """5.01 % must not read "5.0%, above 5%"."""
    summaries = [desk.card(kidney(34, acr, age=70)).get("summary", "") for acr in range(40, 80)]
    close = [s for s in summaries if s.startswith("Kidney failure risk 5.0")]
    assert all(not s.startswith("Kidney failure risk 5.0% in 5 years, above") for s in summaries)
    assert all(float(s.split("risk ")[1].split("%")[0]) > 5 for s in close if "above the 5%" in s)


def test_a_month_reads_as_a_month(desk: Desk) -> None:
    ratio = lab(UACR, 310, "mg/g") | {"effectiveDateTime": "2026-10"}
    card = desk.card([*(r for r in kidney(34, 310) if r.get("id") != f"{UACR}-20"), ratio])
    assert "| Oct 2026 |" in card["detail"]
