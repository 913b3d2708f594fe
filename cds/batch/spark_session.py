"""Gives a run its Spark session: one that is running, left as it was found, or one of its own on this machine."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cds.batch.java import java_found
from cds.batch.setting import environment
from cds.errors import SiteError

_ROWS_KEY, _ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch", "64"
"""A row holds a block of a shard, some ten to some hundred thousand bytes."""
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.memory": "2g",  # on one machine the driver computes too; Spark's own 1 GB is too little for 10 GB
    _ROWS_KEY: _ROWS,
}
# PySpark sets the root's level to that of its own gateway, and says so when they differ.
_LOG = """rootLogger.level = error
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex{short}
"""


@contextmanager
def running(given: Any, workers: int | None) -> Iterator[Any]:
    """The session given, or one that is active here; otherwise one that starts, and ends, with the run.

    Raises SiteError when there is no PySpark, or no Java to start it.
    """
    if find_spec("pyspark") is None:
        raise SiteError("--engine spark needs PySpark: pip install 'bedside[spark]'")
    from pyspark.sql import SparkSession

    found = given if given is not None else SparkSession.getActiveSession()
    with _as_found(found) if found is not None else _started(workers) as spark:
        yield spark


@contextmanager
def _as_found(spark: Any) -> Iterator[Any]:
    """Batches are as small as ours must be for as long as the run lasts, where the platform lets them be set."""
    try:
        before = spark.conf.get(_ROWS_KEY, None)
        spark.conf.set(_ROWS_KEY, _ROWS)
    except Exception:  # noqa: BLE001 - serverless platforms refuse with errors of their own; the run goes on
        yield spark
        return
    try:
        yield spark
    finally:
        with suppress(Exception):  # a session that has died takes its settings with it
            if before is None:
                spark.conf.unset(_ROWS_KEY)
            else:
                spark.conf.set(_ROWS_KEY, before)


@contextmanager
def _started(workers: int | None) -> Iterator[Any]:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    address = os.environ.get("SPARK_LOCAL_IP", "127.0.0.1")
    # Spark would look for another Python, by the name python3, which may be one without Bedside.
    with (
        java_found(),
        environment(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP=address),
        TemporaryDirectory(prefix="bedside-log-") as folder,
    ):
        log = Path(folder) / "log4j2.properties"
        log.write_text(_LOG, encoding="utf-8")
        builder = SparkSession.builder.master(f"local[{workers or '*'}]").appName("bedside")
        builder = builder.config("spark.driver.defaultJavaOptions", f"-Dlog4j2.configurationFile={log}")
        for name, value in _SETTINGS.items():
            builder = builder.config(name, value)
        try:
            spark = builder.getOrCreate()
        except (PySparkException, OSError) as error:  # of Spark itself, or of a SPARK_HOME that is none
            raise SiteError(f"Spark did not start ({type(error).__name__}): what it said of it stands above") from None
        try:
            yield spark
        finally:
            spark.stop()


def cores(spark: Any) -> int:
    """How many tasks the session runs at once."""
    try:
        return max(int(spark.sparkContext.defaultParallelism), 1)
    except Exception:  # noqa: BLE001 - Spark Connect has no context, and says so with one error or another
        parts = spark.range(0, 1 << 16).selectExpr("spark_partition_id() as part")
        return max(int(parts.distinct().count()), 1)


@contextmanager
def held(frame: Any) -> Iterator[Any]:
    """The frame, computed once and kept on the executors' disks; where none are to be had it is computed each time."""
    from pyspark import StorageLevel

    try:
        kept = frame.persist(StorageLevel.DISK_ONLY)
    except Exception:  # noqa: BLE001 - as above: serverless platforms keep nothing
        yield frame
        return
    try:
        yield kept
    finally:
        with suppress(Exception):  # as above: what ended the run is what is told
            kept.unpersist()
