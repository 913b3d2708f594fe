"""D16: an info card rests after its user's feedback, and comes back as soon as there is something to say."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import pytest
from msgspec import structs

from cds.cdshooks.muting import changed
from cds.ledger import ScoreRecord
from cds.risk.estimate import Estimate, Number, Risk, Score
from cds.risk.model_card import Threshold
from cds.risk.snapshot import estimates
from cds.settings import read_settings
from cds.site import load_site
from cds.site.finding import services_found
from cds.web import cds_services
from models.kfre.inputs import FourVariables
from models.kfre.model import Kfre4
from tests.cdshooks.charts import AT, CREATININE, ID, UACR, Json, kidney, lab, person
from tests.cdshooks.desk import PATH, Desk

OTHER = {"context": {"userId": "Practitioner/other", "patientId": ID}}
REFER, WARN = kidney(34, 310), kidney(16, 1400)


def react(desk: Desk, card: Json, outcome: str = "overridden") -> None:
    """What the user of that card says of it, now."""
    told = {"card": card["uuid"], "outcome": outcome, "outcomeTimestamp": desk.now.isoformat()}
    if outcome == "accepted":
        told["acceptedSuggestions"] = [{"id": card["suggestions"][0]["uuid"]}]
    assert desk.post({"feedback": [told]}, f"{PATH}/feedback").status_code == 200


def seen(desk: Desk, resources: list[Json] = REFER, outcome: str = "overridden") -> Json:
    """A card that was shown, and reacted to."""
    card = desk.card(resources)
    assert card
    react(desk, card, outcome)
    return card


@pytest.mark.parametrize("outcome", ["overridden", "accepted"])
def test_d16_an_info_card_rests_after_feedback(desk: Desk, outcome: str) -> None:
    seen(desk, outcome=outcome)
    assert desk.card(REFER) == {}


def test_d16_it_is_recorded_as_muted_with_its_risk(desk: Desk) -> None:
    seen(desk)
    response = desk.post(desk.call(REFER))
    assert (response.status_code, response.content) == (200, b'{"cards":[]}')
    said = desk.last()
    assert (said.kind, said.reason, said.card_ids, said.cards) == ("muted", "muted", (), b"[]")
    assert [score.outcome for score in said.scores] == ["risk"]
    assert 'kind="muted"' in desk.metrics()


def test_d16_without_feedback_it_is_shown_again(desk: Desk) -> None:
    assert desk.card(REFER)
    assert desk.card(REFER)


def test_d16_only_for_that_user(desk: Desk) -> None:
    seen(desk)
    assert desk.card(REFER, **OTHER)


def test_d16_only_for_that_patient(desk: Desk) -> None:
    seen(desk)
    assert desk.card(kidney(34, 310, of="p2"), of="p2")


def test_d16_only_at_patient_view(desk: Desk) -> None:
    seen(desk)
    assert desk.card(REFER, hook="encounter-start", context={"encounterId": "e1"})


@pytest.mark.parametrize(("days", "shown"), [(89, False), (90, False), (91, True)])
def test_d16_for_ninety_days(desk: Desk, days: int, shown: bool) -> None:
    seen(desk)
    desk.now += timedelta(days=days)
    assert bool(desk.card(REFER)) is shown


def test_d16_never_for_warnings(desk: Desk) -> None:
    card = seen(desk, WARN)
    assert card["indicator"] == "warning"
    assert desk.card(WARN)["indicator"] == "warning"


@pytest.mark.parametrize(("egfr", "shown"), [(34, False), (33.5, False), (31.5, True), (37.5, True)])
def test_d16_unless_the_risk_moves_by_a_fifth(desk: Desk, egfr: float, shown: bool) -> None:
    seen(desk)
    assert bool(desk.card(kidney(egfr, 310))) is shown


def test_d16_unless_the_risk_crosses_a_threshold(desk: Desk) -> None:
    """Within 2 years from below 10% to above: less than a fifth, and a threshold of multidisciplinary care."""
    below, above = kidney(29.3, 400), kidney(28.3, 400)
    first = seen(desk, below)
    found = desk.card(above)
    assert found["summary"] != first["summary"]
    before, after = ([e["probability"] for e in a.scores[0].estimates] for a in desk.answers())
    assert before[0] < 0.10 < after[0]
    assert all(b / a < 1.2 for a, b in zip(before, after, strict=True))


def test_d16_a_card_that_asks_for_a_result_rests_too(desk: Desk) -> None:
    seen(desk, kidney(34, None))
    assert desk.card(kidney(34, None)) == {}
    assert desk.card(REFER)  # and the number comes as soon as there is one


@pytest.mark.parametrize(
    ("then", "now", "moved"),
    [
        (kidney(34, 35, unit=None), kidney(34, 900, unit=None), True),
        (kidney(34, 35, unit=None), kidney(34, 35, unit=None), False),
        (kidney(55, None), kidney(40, None), True),
        (kidney(55, None), kidney(52, None), False),  # less than a fifth
    ],
)
def test_d16_without_a_number_the_inputs_are_compared(
    desk: Desk, then: list[Json], now: list[Json], moved: bool
) -> None:
    seen(desk, then)
    assert bool(desk.card(now)) is moved


@pytest.mark.parametrize("newest", [160, 600])
def test_d16_a_creatinine_that_rises_never_rests(desk: Desk, newest: float) -> None:
    def rise(to: float, ago: int) -> list[Json]:
        usual = [lab(CREATININE, 100, "umol/L", ago=n) for n in (300, 200)]
        return [person(), *usual, lab(CREATININE, to, "umol/L", ago=ago), lab(UACR, 100, "mg/g")]

    assert "creatinine up from" in seen(desk, rise(160, 2))["summary"].lower()
    assert desk.last().scores[0].reason == "creatinine-rise"
    assert desk.card(rise(newest, 2 if newest == 160 else 1))


def test_d16_another_reason_for_the_same_risk_is_another_message(desk: Desk) -> None:
    """Under every threshold: an albumin of 300 mg/g calls for a card, an eGFR below 30 for another."""
    first = seen(desk, kidney(45, 320, age=80))
    other = desk.card(kidney(29.4, 12, age=80))
    assert other
    assert other["summary"] != first["summary"]


def test_d16_a_site_can_leave_it_out(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(mute_days=0)
    seen(desk)
    assert desk.card(REFER)


def test_d16_not_in_shadow(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(service={"stage": "shadow"})
    desk.post(desk.call(REFER))
    desk.post(desk.call(REFER))
    assert [said.kind for said in desk.answers()] == ["shadow", "shadow"]


def test_d16_a_ledger_that_cannot_tell_shows_the_card(desk: Desk) -> None:
    """Its table of feedback is gone; answers are still recorded."""
    seen(desk)
    with desk.ledger._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE feedback RENAME TO lost")
    assert desk.card(REFER)


def test_d16_the_card_comes_back_when_its_user_says_nothing_new(desk: Desk) -> None:
    """Feedback on the card that came back counts from then on."""
    seen(desk)
    desk.now += timedelta(days=91)
    seen(desk)
    desk.now += timedelta(days=60)
    assert desk.card(REFER) == {}


class Points(Kfre4):
    """A model whose thresholds are of scores."""

    @property
    def thresholds(self) -> Sequence[Threshold]:
        return (
            Threshold(at_least=5, outcome="NEWS2", action="look", source="its publication"),
            Threshold(above=2.67, outcome="FIB-4", action="look", source="its publication"),
        )


def recorded(*numbers: Number) -> tuple[ScoreRecord, Risk]:
    """Such a score as the ledger holds it, and as it was given."""
    given = Risk("kfre-4", "1.0.0", AT, FourVariables.given(AT), numbers)
    told = ScoreRecord("kfre-4", "1.0.0", AT, "risk", None, estimates(given), [], b"")
    return msgspec.json.decode(msgspec.json.encode(told), type=ScoreRecord), given


@pytest.mark.parametrize(
    ("then", "now", "moved"),
    [
        (Score("NEWS2", 6), Score("NEWS2", 7), False),
        (Score("NEWS2", 5), Score("NEWS2", 6), True),  # a fifth
        (Score("NEWS2", 5), Score("NEWS2", 4.5), True),  # below 5
        (Score("NEWS2", 0), Score("NEWS2", 0), False),
        (Score("NEWS2", 0), Score("NEWS2", 1), True),
        (Score("NEWS2", 6, band="medium"), Score("NEWS2", 6, band="high"), True),
        (Score("FIB-4", 2.6, ""), Score("FIB-4", 2.67, ""), False),  # strictly above
        (Score("FIB-4", 2.6, ""), Score("FIB-4", 2.68, ""), True),
        (Score("FIB-4", 2.6, ""), Score("NEWS2", 2.6, ""), True),
        (Estimate("death", 5, 0.10), Estimate("death", 5, 0.12), True),
        (Estimate("death", 5, 0.10), Estimate("death", 5, 0.1199), False),
        (Estimate("death", 5, 0.10), Estimate("death", 5, 0.08), True),
        (Estimate("death", 5, 0.10), Estimate("death", 2, 0.10), True),
        (Estimate("death", 5, 0.10), Estimate("death", 5, 0.10, "at least"), True),
    ],
)
def test_d16_what_counts_as_moved(then: Number, now: Number, moved: bool) -> None:
    site = load_site(settings=read_settings(region="elsewhere"))
    model = Points(site.models["kfre-4"].card, site.models["kfre-4"].settings)
    assert changed(recorded(then)[0], recorded(now)[1], model) is moved


def test_d16_a_number_more_or_another_version_counts_as_moved() -> None:
    model = load_site(settings=read_settings(region="elsewhere")).models["kfre-4"]
    one, two = Estimate("death", 2, 0.1), Estimate("death", 5, 0.2)
    assert changed(recorded(one)[0], recorded(one, two)[1], model)
    assert changed(recorded(one)[0], structs.replace(recorded(one)[1], version="1.0.1"), model)


def test_d16_only_what_can_wait_rests() -> None:
    """Never deterioration, and never an order: those services do not allow it, whatever their hooks."""
    found = {service.id: service.mutes for service in services_found()}
    resting = {id_ for id_, mutes in found.items() if mutes}
    assert resting == {"kidney-failure-risk", "cardiovascular-risk", "liver-fibrosis", "stroke-and-bleeding"}
    assert {"deterioration", "nephrotoxic-order"} <= found.keys() - resting


def test_a_ledger_that_is_slow_to_tell_costs_no_card(
    open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(answer_seconds=1.0)

    async def slowly(*_: object) -> None:
        await asyncio.sleep(1.2)

    monkeypatch.setattr(desk.ledger, "reacted", slowly)
    assert desk.card(REFER)
    monkeypatch.setattr(cds_services, "RECALL", 5.0)
    assert desk.card(REFER)  # only the answer's own work counts against its time
