"""The ledger's tables: what may stand in the clear is a column, everything that could name a person is in `sealed`."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

# The revision this code reads and writes. A test holds it to the newest file in migrations/versions.
HEAD = "0004"

metadata = MetaData()

# Times are microseconds since 1970 in UTC: exact, and the same on SQLite, which has no time type, and on PostgreSQL.
Micros = BigInteger

# SQLite numbers rows by itself only for a column of exactly the type INTEGER.
Sequence = BigInteger().with_variant(Integer, "sqlite")


_SHOWN = text("kind = 'card'")


def _of_answer() -> Column[int]:
    # The number, not the id: numbers grow, so a group of answers touches few pages.
    return Column(
        "answer", Sequence, ForeignKey("answers.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


answers = Table(
    "answers",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("hook", Text, nullable=False),
    Column("hook_instance", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("patient", String(64), nullable=False),  # the keyed pseudonym, never the reference
    Column("stage", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("reason", String(64)),
    Column("latency_us", BigInteger, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Column("missing", Text, nullable=False),  # a JSON array of prefetch keys
    Column("repeats", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("answers_recorded_at", "recorded_at"),
    # Only of those that showed a card: pseudonyms lie everywhere, and most answers are silent.
    Index("answers_shown", "patient", sqlite_where=_SHOWN, postgresql_where=_SHOWN),
    sqlite_autoincrement=True,  # a purged answer's number is never given again
)

scores = Table(
    "scores",
    metadata,
    _of_answer(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("at", Micros, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
    Column("estimates", Text, nullable=False),  # JSON
    Column("inputs", Text, nullable=False),  # JSON
    sqlite_with_rowid=False,
)

cards = Table(
    "cards",
    metadata,
    _of_answer(),
    Column("card", String(36), primary_key=True),
    Index("cards_card", "card"),
    sqlite_with_rowid=False,
)

# Which answer a repeat gets, for five minutes. A table of its own: forgetting a key must not rewrite the sealed answer.
# `answer` is no foreign key: it would need an index of its own, and the purge forgets keys before it deletes answers.
replays = Table(
    "replays",
    metadata,
    Column("replay_key", Text, primary_key=True),
    Column("answer", Sequence, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Index("replays_recorded_at", "recorded_at"),
    sqlite_with_rowid=False,
)

feedback = Table(
    "feedback",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("fingerprint", String(64), nullable=False, unique=True),  # of all that makes two reports the same one
    Column("answer", Sequence, ForeignKey("answers.seq", ondelete="CASCADE")),  # NULL: a card we never sent
    Column("tenant", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("card", Text, nullable=False),  # Text: a stranger's card may be any string
    Column("outcome", String(16), nullable=False),
    Column("outcome_at", Micros, nullable=False),
    Column("suggestions", Text, nullable=False),  # a JSON array
    Column("reason_code", Text),
    Column("reason_system", Text),
    Column("received_at", Micros, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("feedback_answer", "answer"),
    Index("feedback_received_at", "received_at"),
    sqlite_autoincrement=True,
)

# What happened besides answers and feedback: refused tokens, launches, pages read, the audit itself.
events = Table(
    "events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("at", Micros, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("who", String(64)),  # a keyed pseudonym, as `patient` is
    Column("patient", String(64)),
    Column("sealed", LargeBinary, nullable=False),
    Index("events_at", "at"),
    sqlite_autoincrement=True,
)

# Where each tenant's chain ends. Whoever writes locks its tenants' rows here first, in sorted order.
heads = Table(
    "heads",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),  # 0: no chain yet
    Column("mac", LargeBinary, nullable=False),
    Column("earlier_answers", BigInteger, nullable=False),  # recorded before there were chains
    Column("earlier_feedback", BigInteger, nullable=False),
)

# One row, written once and signed: from then on no row can be taken for one from before there were chains.
beginning = Table(
    "beginning",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Micros, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)

# One link for every answer, feedback and event, in the order of writing. A purge deletes rows and leaves their links.
links = Table(
    "links",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("kind", String(8), nullable=False),  # answer, feedback, event
    Column("seq", BigInteger, nullable=False),  # of the row in the kind's own table
    Column("due", Micros, nullable=False),  # the time from which the row's retention counts
    Column("digest", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "n"),
    sqlite_with_rowid=False,
)
