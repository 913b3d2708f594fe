"""`python -m bench`: the benchmark of the bedside road."""

from bench.online import main

main()
