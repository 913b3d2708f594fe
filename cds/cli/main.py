"""The commands and their names."""

import sys

import typer

from cds.cli import card, check, ledger, models, score, serve

app = typer.Typer(
    name="bedside",
    help="Takes a risk model from the bench to the bedside: CDS Hooks in, cards with a FHIR RiskAssessment out.",
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 done with rejects, 4 refused for safety.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback's local variables would be patients
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("card")(card.card)
app.command("score")(score.score_files)
app.command("models")(models.show_models)
app.command("check")(check.check)
app.command("replay")(ledger.replay)
app.add_typer(ledger.app, name="ledger")


def main() -> None:
    """Entry point of the `bedside` command."""
    sys.exit(app(standalone_mode=True))
