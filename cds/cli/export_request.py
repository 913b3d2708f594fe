"""Turns the options of `bedside export` into what is asked of the server: by default exactly what the models read."""

from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import convert

from cds.batch.asked import Request
from cds.bulk import ExportRequest
from cds.bulk.checkpoint import FILE, read_record
from cds.bulk.kickoff import Level
from cds.cli.common import instant, since_option
from cds.errors import RequestError
from cds.features.feature import Need
from cds.features.needs import bulk_codes, bulk_types, union
from cds.settings import read_settings
from cds.site import Site, load_site

MOST_PATIENTS = 100_000


def level_of(group: str | None, *, patient_level: bool, system: bool) -> Level:
    """Raises RequestError for two at once."""
    if (group is not None) + patient_level + system > 1:
        raise RequestError("one of --group, --patient-level and --system")
    return "group" if group is not None else "system" if system else "patient"


def asked_for(
    site: Path | None, level: Level, group: str | None, models: str, types: list[str] | None, *, since: str | None,
    until: str | None, filters: list[str] | None, filter_codes: bool, patients: Path | None, rest: dict[str, Any],
) -> ExportRequest:  # fmt: skip
    """Raises RequestError or SiteError for what cannot be asked."""
    found = load_site(site, read_settings(site))
    needs = _needs(found, models)
    wanted = [one for text in types or () for one in text.split(",") if one]
    codes = bulk_codes(needs, found.vocabulary) if filter_codes else {}
    request = ExportRequest(
        types=tuple(dict.fromkeys(wanted)) or bulk_types(needs), level=level, group=group, since=_since(since),
        until=instant(until, "--until") if until else None, type_filters=tuple(filters or ()),
        codes={kind: tokens for kind, tokens in codes.items() if tokens}, patients=_patients(patients), **rest,
    )  # fmt: skip
    request.check()
    return request


def _needs(site: Site, models: str) -> tuple[Need, ...]:
    """What the models read, whether the site serves them or not."""
    known = {model.id: model for model in site.known_models}
    chosen = [name.strip() for name in models.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in known]:
        raise RequestError(f"--models {', '.join(unknown)}: there is no such model; there are {', '.join(known)}")
    return union(need for name in chosen for need in known[name].predictors.needs())


def _since(text: str | None) -> datetime | None:
    """A day, an instant, or the time as of which the export in a folder was made: what changed since then."""
    if text is None or not (Path(text) / FILE).exists():
        return since_option(text)
    found = read_record(Path(text))
    if found.state != "complete":
        raise RequestError(
            f"--since {text}: that export is not complete ({found.state}), and what it lacks would be asked for by "
            "neither: finish it first, or give an instant"
        )
    if found.severities.keys() & {"error", "fatal"}:
        raise RequestError(
            f"--since {text}: its server reported errors in that export, and what it lacks would be asked for by "
            "neither: give the folder of one without, or an instant"
        )
    if found.transaction_time is None:
        raise RequestError(f"--since {text}: that export does not say as of when it was made")
    if not _is_day_or_instant(found.transaction_time):
        raise RequestError(
            f"--since {text}: that export was made as of {found.transaction_time}, which is no instant with an offset: "
            "give one, in the time of its server"
        )
    return since_option(convert(found.request, Request).end(found.transaction_time))


def _is_day_or_instant(text: str) -> bool:
    try:
        return len(text) <= len("2026-11-22") or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _patients(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--patients {file}: it cannot be read ({type(error).__name__})") from None
    if not lines or len(lines) > MOST_PATIENTS:
        raise RequestError(f"--patients {file}: 1 to {MOST_PATIENTS} ids, a line each")
    return tuple(dict.fromkeys(one if one.startswith("Patient/") else f"Patient/{one}" for one in lines))
