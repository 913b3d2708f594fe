"""The `bedside` command."""

from cds.cli.main import main

__all__ = ["main"]
