"""Lets one process or several do a run's tasks, and ends with the run whichever of them dies."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from cds.batch.plan import Plan
from cds.batch.scorers import Recipe
from cds.batch.stages import LocalStages, Work
from cds.errors import RunInterrupted

Task = Callable[..., Any]
"""A method of LocalStages by its arguments."""
_AHEAD = 2  # tasks waiting for each worker: enough that none is idle

_mine: LocalStages | None = None


class Crew:
    """Does tasks, in whatever order, and yields the key of each that is done."""

    def __init__(self, stages: LocalStages, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self._stages, self._pool, self._workers = stages, pool, workers

    def run(self, method: str, keys: Iterable[int], *more: Any) -> Iterator[int]:
        """`method(key, *more)` of the stages for each key. Raises what a task raises, and RunInterrupted."""
        if self._pool is None:
            for key in keys:
                getattr(self._stages, method)(key, *more)
                yield key
            return
        try:
            yield from self._spread(self._pool, method, iter(keys), more)
        except BrokenProcessPool:
            raise RunInterrupted(
                "a worker was killed (out of memory?): go on with --resume, and fewer --workers"
            ) from None

    def _spread(
        self, pool: ProcessPoolExecutor, method: str, keys: Iterator[int], more: tuple[Any, ...]
    ) -> Iterator[int]:
        running: dict[Future[None], int] = {}
        left = True
        while left or running:
            while left and len(running) < self._workers * _AHEAD:
                key = next(keys, None)
                if key is None:
                    left = False
                else:
                    running[pool.submit(_do, method, key, more)] = key
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                yield running.pop(future)


@contextmanager
def crew(plan: Plan, recipe: Recipe, work: Work, workers: int) -> Iterator[Crew]:
    """One worker is this process itself; more are processes of their own."""
    stages = LocalStages(plan, recipe, work)
    if workers == 1:
        yield Crew(stages, None, 1)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy whatever threads this process has
    pool = ProcessPoolExecutor(workers, context, initializer=_join, initargs=(plan, recipe, work))
    try:
        _begin(pool)
        yield Crew(stages, pool, workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(pool: ProcessPoolExecutor) -> None:
    """Start the workers deaf to Ctrl-C, which reaches every process: it is the run's to tell of it, and once."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, from a worker's first moment on
    try:
        pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _join(plan: Plan, recipe: Recipe, work: Work) -> None:
    global _mine  # noqa: PLW0603 - a worker process has one run, and its tasks find it here
    _mine = LocalStages(plan, recipe, work)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose run was killed would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(method: str, key: int, more: tuple[Any, ...]) -> None:
    getattr(_mine, method)(key, *more)
