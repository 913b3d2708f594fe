"""`python -m bench`: each benchmark of the project by its name, or those that need little of the machine."""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import uvloop

from bench import batch, batch_memory, batch_spark, catalogue, hanging, online, page, trust
from bench.readme import placed, write

_ASKED_FOR = ("peers", "batch-memory", "batch-spark")
"""Only by name: the first installs HealthChain, the others write 11 GB of data each."""


def main() -> None:
    """Measure what was named, print each table as it is ready, and put it into the README when asked."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    every = tuple(benchmarks(1.0, ()))
    usual = tuple(name for name in every if name not in _ASKED_FOR)
    which = f"{', '.join(every)} (default: all but {', '.join(_ASKED_FOR)})"
    parser.add_argument("names", nargs="*", choices=[*every, []], metavar="name", help=which)
    parser.add_argument("--write", action="store_true", help="put each table into bench/README.md")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual rounds: 0.2 is a look (default: 1)")
    asked, more = parser.parse_known_args()
    if more and not any(name.startswith("batch") for name in asked.names or usual):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    chosen = benchmarks(asked.share, more)
    for name in asked.names or usual:
        start = time.monotonic()
        told = chosen[name]()
        print(f"\n## {name}\n\n{told}\n\n({time.monotonic() - start:.0f} s)", flush=True)
        if asked.write:
            write(name, told)


def benchmarks(share: float, more: Sequence[str]) -> dict[str, Callable[[], str]]:
    """Each benchmark by name; `share` of its usual rounds, and what was said that only the batch understands."""

    def rounds(usual: int) -> int:
        return max(1, round(usual * share))

    def served(peers: str) -> str:
        return online.told(online.arguments(["--peers", peers, "--rounds", str(rounds(5))]))

    return {
        "trust": lambda: placed(lambda: uvloop.run(trust.measure(rounds(trust.ROUNDS)))),
        "hanging": lambda: placed(lambda: uvloop.run(hanging.measure(rounds(hanging.ROUNDS)))),
        "page": lambda: placed(lambda: page.measured(rounds(page.ROUNDS))),
        "catalogue": lambda: placed(lambda: catalogue.measure(rounds(catalogue.ROUNDS))),
        "online": partial(served, online.USUAL),
        "peers": partial(served, online.USUAL + online.HEALTHCHAIN),
        "batch": lambda: placed(lambda: batch.told(batch.arguments(more, rounds(batch.ROUNDS)))),
        "batch-memory": lambda: placed(lambda: batch_memory.told(batch.arguments(more))),
        "batch-spark": lambda: placed(
            lambda: batch_spark.told(batch.arguments(more, rounds(batch_spark.ROUNDS), batch_spark.SIZE)),
            among_others=", Spark's own among them,",
        ),
    }


if __name__ == "__main__":
    main()
