"""Strangers cannot crowd out whoever is signing in, and a site that could not sign anybody in is not served."""

from collections.abc import Callable

import pytest

from cds.errors import SiteError
from cds.smart.launches import Launches
from cds.trust.own_keys import OwnKeys
from cds.web.smart.ready import check_smart
from tests.cdshooks.desk import site
from tests.smart.test_authorize import one
from tests.smart.world import Clock, table
from tests.web.smart.clinic import Clinic, title


@pytest.mark.proves(
    "R58", "30 launches from one address, 10 minutes' share of 3 a minute; the next 5 are 429, and later not"
)
def test_an_address_begins_only_so_many_launches(make_clinic: Callable[..., Clinic]) -> None:
    clinic = make_clinic(failures_per_minute=3)
    stranger = clinic.browser()
    lefts = [stranger.launch(f"x{number}") for number in range(30)]
    assert {left.status_code for left in lefts} == {303}
    for _ in range(5):
        refused = stranger.launch()
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "60"
        assert title(refused) == "Too many sign-ins from here"
    assert stranger.get(stranger.sign_in(lefts[0])).status_code == 303, "who had begun goes on"
    assert stranger.launch().status_code == 303, "and frees his place"
    clinic.clock.forward(minutes=21)
    assert stranger.launch().status_code == 303


@pytest.mark.proves(
    "R58", "6 failures from one address at 6 a minute: the next is 429 on 3 of 3 routes, a good launch still begins"
)
def test_an_address_fails_only_so_often(make_clinic: Callable[..., Clinic]) -> None:
    clinic = make_clinic(failures_per_minute=6)
    stranger = clinic.browser()
    for _ in range(6):
        assert stranger.get("/smart/callback?state=guess&code=x").status_code == 400
    for path in ("launch?iss=x&launch=x", "standalone", "callback?state=guess&code=x"):
        refused = stranger.get(f"/smart/{path}")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "60"
    assert stranger.opened()
    clinic.clock.forward(minutes=1)
    assert stranger.get("/smart/standalone").status_code == 404


def test_an_ehr_that_does_not_answer_is_no_failure_of_those_who_wait(make_clinic: Callable[..., Clinic]) -> None:
    clinic = make_clinic(failures_per_minute=2)
    clinic.ehr.well_known.respond(503)
    assert {clinic.browser().launch().status_code for _ in range(10)} == {504}


@pytest.mark.proves("S7", "10,000 launches of 50 strangers: the one launch of another address is still there")
def test_strangers_crowd_out_each_other_and_nobody_else() -> None:
    clock = Clock()
    launches = Launches(clock, limit=1_000)
    mine = one(clock, by="198.51.100.1")
    launches.add(mine)
    for number in range(10_000):
        launches.add(one(clock, by=f"203.0.113.{number % 50}"))
    assert len(launches) == 1_000
    assert launches.take(mine.state) is mine
    assert launches.of("198.51.100.1") == 0
    assert sum(launches.of(f"203.0.113.{number}") for number in range(50)) == 999


def test_a_site_whose_app_could_not_sign_in_is_refused(own_keys: OwnKeys) -> None:
    signing = table(smart={"auth": "private_key_jwt"})
    with pytest.raises(SiteError, match="north-clinic: its SMART app signs"):
        check_smart(site(clients=(signing,)), None)
    check_smart(site(clients=(signing,)), own_keys)
    check_smart(site(clients=({**signing, "revoked": True},)), None)
    with pytest.raises(SiteError, match="public_url"):
        check_smart(site(clients=(table(),), public_url="http://localhost.evil.example"), None)
