"""So that `python -m cds.cli` is the command too."""

from cds.cli.main import main

main()
