"""Lets one process or several do a run's tasks, and ends with the run whichever of them dies."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cds.batch.stages import LocalStages
from cds.errors import RunInterrupted

_AHEAD = 2  # tasks waiting for each worker: enough that none is idle

_mine: LocalStages | None = None


class Crew:
    """Does tasks, in whatever order, and yields the key of each that is done."""

    def __init__(self, stages: LocalStages, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self.stages, self._pool, self._workers = stages, pool, workers

    def run(self, method: str, keys: Iterable[int], *more: Any) -> Iterator[int]:
        """`method(key, *more)` of the stages for each key. Raises what a task raises, and RunInterrupted."""
        if self._pool is None:
            for key in keys:
                getattr(self.stages, method)(key, *more)
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
        done = SimpleQueue[Future[None] | None]()
        left = True
        with _told_between(done) as tell:
            while left or running:
                while left and len(running) < self._workers * _AHEAD:
                    key = next(keys, None)
                    if key is None:
                        left = False
                    else:
                        running[_submitted(pool, done, _do, method, key, more)] = key
                future = done.get() if running else None
                tell()
                if future is not None:
                    future.result()
                    yield running.pop(future)
            tell()


def _submitted(
    pool: ProcessPoolExecutor, done: "SimpleQueue[Future[None] | None]", call: Callable[..., Any], *args: Any
) -> Future[None]:
    """A task under way, put into `done` at its end. A worker that it starts is deaf to Ctrl-C, which is the run's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        future = pool.submit(call, *args)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    future.add_done_callback(done.put)
    return future


@contextmanager
def _told_between(done: "SimpleQueue[Future[None] | None]") -> Iterator[Callable[[], None]]:
    """Signals that would raise at any moment wake `done` instead, and raise in what is given.

    An exception in the midst of concurrent.futures leaves a lock held, for which the pool's own thread then waits.
    """
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)
        done.put(None)

    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if main else {}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}

    def tell() -> None:
        for number in heard:
            before[signal.Signals(number)](number, None)

    for number in before:
        signal.signal(number, hear)
    try:
        yield tell
    except BrokenProcessPool:
        tell()  # the same signal ended the worker
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def crew(stages: LocalStages, workers: int, lock: int | None = None) -> Iterator[Crew]:
    """One worker is this process itself; more are processes of their own, which let go of `lock`, a file's number."""
    if workers == 1:
        yield Crew(stages, None, 1)
        return
    with _pool(stages, workers, lock) as pool:
        try:
            yield Crew(stages, pool, workers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _pool(stages: LocalStages, workers: int, lock: int | None) -> Iterator[ProcessPoolExecutor]:
    """Workers forked where that is safe, else spawned, when there is something to do."""
    if not (_single_threaded() and stages.scorers and _single_threaded()):  # a trained model's libraries have threads
        join = partial(_join, stages.anew(), _parent_gone)
        yield ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=join)
        return
    alive = os.pipe()
    try:
        join = partial(_join_forked, stages, lock, alive)
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), initializer=join)
        _fork(pool, workers)
        yield pool
    finally:
        for end in alive:
            os.close(end)


def _single_threaded() -> bool:
    """Whether a fork is safe: it copies the locks that other threads hold, and not the threads.

    A forked worker has all imports and models; a new process takes two thirds of a second for them.
    """
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:  # no Linux
        return False


def _fork(pool: ProcessPoolExecutor, workers: int) -> None:
    """Begin all workers now, before this process has another thread. They hear SIGTERM when they have joined."""
    others = multiprocessing.active_children()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        _submitted(pool, SimpleQueue(), os.getpid)
    except (OSError, RuntimeError) as error:  # no process, or no thread to lead them
        for child in multiprocessing.active_children():
            if child not in others:  # which would wait for its first task for ever
                child.kill()
                child.join()
        raise RunInterrupted(f"{workers} workers cannot be started ({error}): take fewer --workers") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _join_forked(stages: LocalStages, lock: int | None, alive: tuple[int, int]) -> None:
    """`alive`: a pipe that only the run itself holds open for writing, once its workers have joined."""
    os.close(alive[1])
    if lock is not None:
        os.close(lock)  # or the run could not be taken up again before the last worker is gone
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _join(lambda: stages, partial(os.read, alive[0], 1))


def _join(stages: Callable[[], LocalStages], run_gone: Callable[[], object]) -> None:
    """`run_gone` returns when the run is no more: a worker would wait for its next task for ever."""
    global _mine  # noqa: PLW0603 - a worker process has one run, and its tasks find it here
    _mine = stages()

    def end() -> None:
        run_gone()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _parent_gone() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()


def _do(method: str, key: int, more: tuple[Any, ...]) -> None:
    getattr(_mine, method)(key, *more)
