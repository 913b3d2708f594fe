"""The commands and their names."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cds.cli import audit, card, check, client, doctor, export, keys, ledger, models, new, score, serve, write

app = typer.Typer(
    name="bedside",
    help="Takes a risk model from the bench to the bedside: CDS Hooks in, cards with a FHIR RiskAssessment out.",
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 done with rejects or with errors that the FHIR server reports, "
    "4 refused for safety, 130 Ctrl-C, 143 SIGTERM (a server that it stops: 0).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback's local variables would be patients
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("card")(card.card)
app.command("score")(score.score_files)
app.command("write", short_help="Write a run's results to a FHIR server.")(write.write)
app.command("export", short_help="Fetch a FHIR Bulk Data export, or go on with one.")(export.export_files)
app.command("models", short_help="List the models, or print one model's card.")(models.show_models)
app.command("check", short_help="Check this site: pass or fail, with the fix.")(check.check)
app.command("doctor", short_help="Look at an EHR: pass, warn or fail, with the fix.")(doctor.doctor)
app.command("replay", short_help="Compute the whole record again, and compare.")(ledger.replay)
app.add_typer(new.app, name="new")
app.add_typer(client.app, name="client")
app.add_typer(ledger.app, name="ledger")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")

PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell reports any program that `head` cut short


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bedside {version('bedside')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """What can be asked of the command as a whole."""


def main() -> None:
    """Entry point of the `bedside` command."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as end:
        # click and rich each turn a closed pipe into an exit code of their own.
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter's last flush goes there
        sys.exit(PIPE_CLOSED)
