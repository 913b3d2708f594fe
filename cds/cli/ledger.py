"""`bedside replay` and `bedside ledger …`: the record, computed again, upgraded, rotated and thinned."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cds.cli.common import FAILED, USAGE, SiteOption, ledger_url, open_ledger, out, since_option, stop, told
from cds.ledger import Keyring, upgrade
from cds.ledger.database import database_url
from cds.risk.snapshot import read_snapshot
from cds.risk.snapshot import replay as replay_one
from cds.settings import read_settings
from cds.site import Site, load_site

app = typer.Typer(no_args_is_help=True, help="Look after the ledger.", rich_markup_mode=None)
DemoOption = Annotated[bool, typer.Option("--demo", help="The demo's ledger.")]


def replay(
    site: SiteOption = None,
    demo: DemoOption = False,
    since: Annotated[str | None, typer.Option(help="Only answers recorded since this day or instant.")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
) -> None:
    """Compute every recorded prediction again from its stored inputs and compare. Exit code 1 when one differs."""
    with told():
        settings = read_settings(site)
        found = load_site(site, settings)
        same = different = 0
        with open_ledger(settings, demo=demo) as ledger:
            for answer, score in ledger.scores(since_option(since), service):
                if score.outcome == "failed":
                    continue
                why = _compare(found, score.row, score.estimates, score.reason)
                same, different = same + (why is None), different + (why is not None)
                if why is not None:
                    out.print(f"{answer.id} {score.model}: {why}")
    out.print(f"{same} the same to the last bit, {different} different.")
    if different:
        raise typer.Exit(FAILED)


def _compare(site: Site, row: bytes, estimates: list[dict[str, object]], reason: str | None) -> str | None:
    snap = read_snapshot(row)
    model = site.as_recorded(snap.model, snap.settings)
    if model is None:
        return f"{snap.model} is not part of this site"
    if model.version != snap.version:
        return f"recorded with version {snap.version}, here is {model.version}"
    difference = replay_one(snap, model, estimates, reason)
    return None if difference is None else f"recorded {difference.recorded}, replayed {difference.replayed}"


@app.command("upgrade")
def upgrade_tables(site: SiteOption = None) -> None:
    """Create the ledger's tables, or bring them up to date. One that holds answers already needs its key for it."""
    with told():
        settings = read_settings(site)
        url, key = ledger_url(settings), settings.ledger_key
        upgrade(url, Keyring.parse(key.get_secret_value()) if key is not None else None)
    out.print(f"The ledger is up to date: {database_url(url).set(query={})}")  # SQLAlchemy leaves the password out


@app.command()
def key() -> None:
    """Print a new key for BEDSIDE_LEDGER_KEY. Keep it in a secret store: without it the ledger cannot be read."""
    typer.echo(Keyring.generate().text())


@app.command()
def rotate(site: SiteOption = None) -> None:
    """Seal every row anew under the first key of BEDSIDE_LEDGER_KEY ("new,old")."""
    with told():
        settings = read_settings(site)
        if settings.ledger_key is None:
            stop(USAGE, "BEDSIDE_LEDGER_KEY is not set")
        with open_ledger(settings) as ledger:
            count = ledger.rotate(Keyring.parse(settings.ledger_key.get_secret_value()))
    out.print(f"{count} rows sealed anew.")


@app.command()
def purge(
    site: SiteOption = None,
    days: Annotated[int | None, typer.Option(min=1, help="Default: retention_days of site.toml.")] = None,
) -> None:
    """Delete answers older than the retention, with their scores and feedback."""
    with told():
        settings = read_settings(site)
        kept = days or settings.retention_days
        if kept is None:
            stop(USAGE, "say --days, or set retention_days in site.toml")
        with open_ledger(settings) as ledger:
            now = datetime.now(UTC)
            count = ledger.purge(now - timedelta(days=kept), now)
    out.print(f"{count} answers deleted.")
