"""The pages under docs/ name every key, reason, check and metric that the code has, and nothing that it has not."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cds.cdshooks.service import ServiceSettings
from cds.cli.audit import _UNANCHORED
from cds.cli.main import app
from cds.errors import SiteError
from cds.ledger.schema import HEAD
from cds.risk.artefact import Performance, Validation
from cds.settings import Settings
from cds.site import load_site
from cds.site.finding import services_found
from cds.trust.clients import BackendRegistration, Client, Clients, SmartRegistration
from cds.trust.refused import Reason
from cds.web.metrics import Metrics
from cds.web.reload import FIXED
from cds.web.smart.words import WORDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SAID: dict[str, str] = {
    "services": "all", "hooks": "all", "region": "the site's", "token_tenants": "not looked at",
}  # fmt: skip
"""What None means for a client, where it is not simply none."""


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, start: str, end: str) -> str:
    return text(page).partition(start)[2].partition(end)[0]


def rows(part: str) -> dict[str, list[str]]:
    """The table rows of a part by the code in their first cell, the other cells as they stand."""
    cells = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line[:3] == "| `")
    return {first.strip("` "): rest for first, *rest in cells}


def default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return SAID.get(name, "none")
    listed = sorted(value) if isinstance(value, frozenset) else list(value) if isinstance(value, tuple) else value
    return f"`{json.dumps(listed)}`"


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (Client, section("docs/clients.md", "## Every key", "`[clients.smart]`, for")),
        (SmartRegistration, section("docs/clients.md", "`[clients.smart]`, for", "`backend`, for")),
        (BackendRegistration, section("docs/clients.md", "`backend`, for", "\n## ")),
    ],
)
def test_every_key_of_a_client_is_told_with_its_default(model: type[BaseModel], part: str) -> None:
    told = {name: rest[0] for name, rest in rows(part).items()}
    assert told == {name: default(name, field) for name, field in model.model_fields.items()}


def test_every_key_of_site_toml_is_told() -> None:
    told = rows(section("docs/operations.md", "## Every key", "\n## "))
    assert set(told) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if value is not None:
            listed = list(value) if isinstance(value, tuple) else value
            assert told[name][0] == f"`{json.dumps(listed)}`", name


def test_every_end_of_a_launch_is_told_with_its_status_and_title() -> None:
    told = {reason: (int(rest[0]), rest[1]) for reason, rest in rows(text("docs/smart.md")).items() if len(rest) == 3}
    assert told == {reason: (words.status, words.title) for reason, words in WORDS.items()}


def test_each_reason_told_for_a_refused_token_is_one() -> None:
    part = section("docs/clients.md", "| `reason` in the log", "## Keys")
    told = {one for line in part.splitlines() for one in re.findall(r"`([^`]+)`", line.split(" | ")[0])}
    assert told <= set(get_args(Reason))
    assert len(told) == 14


def test_what_only_a_restart_changes_is_told() -> None:
    part = section("docs/operations.md", "**Only a restart changes**", "the code of models")
    assert set(re.findall(r"`(\w+)`", part)) == set(FIXED)


def test_every_metric_is_told() -> None:
    told = rows(section("docs/operations.md", "## Metrics", "\n## "))
    registry = Metrics(load_site()).registry
    families = {f"{one.name}_total" if one.type == "counter" else one.name for one in registry.collect()}
    assert set(told) == families


def test_every_setting_of_a_service_is_in_the_catalogue_with_its_default() -> None:
    told = rows(section("docs/catalogue.md", "Beside `stage`", "`nephrotoxic-order` has"))
    shared = set(ServiceSettings.model_fields) - {"stage"}
    own: dict[str, tuple[str, str]] = {}
    for service in sorted(services_found(), key=lambda service: service.id):
        for name, field in service.settings_type.model_fields.items():
            if name not in ServiceSettings.model_fields:
                of = f"{own[name][0]}, `{service.id}`" if name in own else f"`{service.id}`"
                own[name] = (of, default(name, field))
    for_all = {name: ("all", default(name, ServiceSettings.model_fields[name])) for name in shared}
    assert {name: tuple(cells[:2]) for name, cells in told.items()} == own | for_all


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_for_a_new_service_is_shown_whole(page: Path) -> None:
    shown = re.findall(r"`bedside new service [^`]+`", page.read_text(encoding="utf-8"))
    assert [command for command in shown if " --model " not in command] == []


def test_operations_says_that_the_gallery_is_public() -> None:
    assert "`/models/ID` are **public**" in section("docs/operations.md", "## What strangers may read", "\n## ")


def test_the_readmes_site_toml_is_one_that_serves(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", text("README.md"), re.DOTALL)
    assert found is not None
    (tmp_path / "site.toml").write_text(found[1], encoding="utf-8")
    site = load_site(tmp_path)
    assert [(tenant.id, list(tenant.services)) for tenant in site.served()] == [
        ("north-clinic", ["kidney-failure-risk"])
    ]
    (client,) = site.clients
    assert client.backend is not None
    assert client.fhir_base == text("README.md").partition("bedside export ")[2].split()[0]
    (tmp_path / "site.toml").write_text(found[1].replace("tenant =", "tennant ="), encoding="utf-8")
    with pytest.raises(SiteError, match="tennant"):
        load_site(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_is_there(page: Path) -> None:
    named = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    named += re.findall(r"`((?:docs|bench|tests|cds|models|hooks)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8"))
    gone = [n for n in named if not ((page.parent / n).exists() or (ROOT / n).exists())]
    assert gone == []


def anchors(page: Path) -> set[str]:
    """What a link may name of a page, as GitHub makes it of each heading."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "bench" / "README.md"], ids=lambda page: page.name)
def test_a_link_into_a_page_names_one_of_its_headings(page: Path) -> None:
    named = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    told = [(page.parent / file if file else page, anchor) for file, anchor in named]
    assert [anchor for file, anchor in told if not file.is_file() or anchor not in anchors(file)] == []


def test_the_table_for_an_export_is_a_whole_client_that_can_sign_in() -> None:
    found = re.search(r"```toml\n(.*?)```", section("docs/bulk-export.md", "## Register, once", "\n## "), re.DOTALL)
    assert found is not None
    (client,) = Clients.read(tomllib.loads(found[1])["clients"])
    assert client.backend is not None
    assert client.fhir_base == re.findall(r"bedside export (https://\S+)", text("docs/bulk-export.md"))[0]


def test_every_key_of_a_validation_is_told() -> None:
    part = section("CONTRIBUTING.md", "- Until `card.yaml` has a `validation`", "\n- ")
    told = set(re.findall(r"`([a-z_]+)(?::[^`]*)?`", part))
    assert told >= set(Validation.model_fields) | set(Performance.model_fields)


def test_the_version_of_the_ledger_that_is_shown_is_the_one_that_is_asked_for() -> None:
    assert set(re.findall(r"this Bedside needs (\d+)", text("docs/clients.md"))) == {HEAD}


def test_what_verify_says_without_a_head_is_shown_whole() -> None:
    assert f"{_UNANCHORED}\n" in section("docs/operations.md", "$ bedside audit verify", "```")


def test_the_exit_codes_that_the_command_tells_are_the_readmes() -> None:
    told = " ".join(section("README.md", "Exit codes: ", "\n\n").split())
    assert app.info.epilog == f"Exit codes: {told}"


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").glob("*.png")), ids=lambda picture: picture.name)
def test_a_picture_is_small_enough_to_be_loaded(picture: Path) -> None:
    assert picture.stat().st_size < 150_000
