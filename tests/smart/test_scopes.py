"""What is asked for, and what a grant of less means."""

import pytest

from cds.smart import lacking
from cds.smart.scopes import may_create, wanted
from tests.smart.world import TYPES, World, asked, client

V2 = ("permission-v2", "permission-v1")


@pytest.mark.proves(
    "S10", "v2 letters by type, v1 words only without permission-v2, 0 wildcards; write only when saving"
)
def test_scopes_name_each_type_and_nothing_more() -> None:
    types = ("Observation", "Condition")
    ehr = wanted(types, V2, ehr_launch=True)
    assert ehr == "openid fhirUser launch patient/Condition.rs patient/Observation.rs patient/Patient.rs"
    alone = wanted(types, V2, ehr_launch=False)
    assert alone == "openid fhirUser launch/patient patient/Condition.rs patient/Observation.rs patient/Patient.rs"
    old = wanted(types, ("permission-v1",), ehr_launch=True, save=True)
    assert old.split()[3:] == [
        "patient/Condition.read", "patient/Observation.read", "patient/Patient.read", "patient/RiskAssessment.read",
        "patient/RiskAssessment.write"
    ]  # fmt: skip
    saving = wanted(types, V2, ehr_launch=True, save=True)
    assert set(saving.split()) - set(ehr.split()) == {"patient/RiskAssessment.crs"}
    assert not any("*" in scope for scope in (ehr, alone, old, saving))


@pytest.mark.proves("S20", "offline_access asked for in 0 of 8 requests; online_access on EHR launch where it is known")
def test_access_outlives_the_user_never_and_the_click_where_the_server_can() -> None:
    for ehr_launch in (True, False):
        for capabilities, supported in ((V2, ()), (("permission-online",), ()), ((), ("online_access",)), ((), ())):
            scopes = wanted(TYPES, capabilities, ehr_launch=ehr_launch, scopes_supported=supported).split()
            assert "offline_access" not in scopes
            known = "permission-online" in capabilities or "online_access" in supported
            assert ("online_access" in scopes) is (ehr_launch and known)


async def test_the_registration_decides_whether_writing_is_asked_for(world: World) -> None:
    for save in (True, False):
        sent = asked(await world.begin(client(save=save)))
        assert ("patient/RiskAssessment.crs" in sent["scope"].split()) is save


@pytest.mark.proves("S11", "18 grants: a type that is missing, filtered or only half granted is named")
@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("patient/Observation.rs patient/Condition.rs patient/Patient.r", ()),
        ("patient/Observation.read patient/Condition.read patient/Patient.read", ()),
        ("patient/*.rs", ()),
        ("patient/*.read", ()),
        ("user/*.*", ()),
        ("patient/*.cruds", ()),
        ("patient/Observation.rs patient/Patient.rs", ("Condition",)),
        ("patient/Patient.rs", ("Condition", "Observation")),
        ("patient/Condition.rs patient/Observation.rs", ("Patient",)),
        ("patient/Observation.r patient/Condition.rs patient/Patient.r", ("Observation",)),
        ("patient/Observation.s patient/Condition.rs patient/Patient.r", ("Observation",)),
        ("patient/Observation.c patient/Condition.rs patient/Patient.r", ("Observation",)),
        ("patient/Observation.write patient/Condition.read patient/Patient.read", ("Observation",)),
        ("patient/Observation.rs?category=laboratory patient/*.rs", ()),
        ("patient/Observation.rs?category=vital-signs patient/Condition.rs patient/Patient.rs", ("Observation",)),
        ("patient/Observation.rs patient/Condition.rs?category=problem-list-item patient/Patient.rs", ("Condition",)),
        ("openid launch", ("Condition", "Observation", "Patient")),
        ("", ("Condition", "Observation", "Patient")),
    ],
)
def test_what_was_not_granted_whole_is_named(granted: str, missing: tuple[str, ...]) -> None:
    assert lacking(granted, TYPES) == missing


@pytest.mark.parametrize(
    ("granted", "may"),
    [
        ("patient/RiskAssessment.c", True),
        ("patient/RiskAssessment.cruds", True),
        ("patient/RiskAssessment.write", True),
        ("patient/*.*", True),
        ("user/*.cud", True),
        ("patient/RiskAssessment.rs", False),
        ("patient/RiskAssessment.read", False),
        ("patient/Observation.c", False),
        ("patient/RiskAssessment.c?category=x", False),
        ("launch openid", False),
        ("system/RiskAssessment.c", False),
        ("patient/RiskAssessment.banana", False),
    ],
)
def test_what_may_be_saved_is_what_was_granted(granted: str, may: bool) -> None:
    assert may_create(granted, "RiskAssessment") is may
