"""The first ledger: answers, their scores and cards, replay keys, feedback.

Written out, not taken from schema.py: what this revision made must stay what it made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _answers()
    _scores()
    _cards()
    _replays()
    _feedback()


def downgrade() -> None:
    for table in ("feedback", "replays", "cards", "scores", "answers"):
        op.drop_table(table)


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("hook", sa.Text, nullable=False),
        sa.Column("hook_instance", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("latency_us", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("missing", sa.Text, nullable=False),
        sa.Column("repeats", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("answers_recorded_at", "answers", ["recorded_at"])


def _scores() -> None:
    op.create_table(
        "scores",
        _answer(),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("estimates", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _cards() -> None:
    op.create_table("cards", _answer(), sa.Column("card", sa.String(36), primary_key=True), sqlite_with_rowid=False)
    op.create_index("cards_card", "cards", ["card"])


def _answer() -> "sa.Column[int]":
    to_answer = sa.ForeignKey("answers.seq", ondelete="CASCADE")
    return sa.Column("answer", SEQUENCE, to_answer, primary_key=True, autoincrement=False)


def _replays() -> None:
    op.create_table(
        "replays",
        sa.Column("replay_key", sa.Text, primary_key=True),
        sa.Column("answer", SEQUENCE, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("replays_recorded_at", "replays", ["recorded_at"])


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("fingerprint", sa.String(64), nullable=False, unique=True),
        sa.Column("answer", SEQUENCE, sa.ForeignKey("answers.seq", ondelete="CASCADE")),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("card", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("outcome_at", sa.BigInteger, nullable=False),
        sa.Column("suggestions", sa.Text, nullable=False),
        sa.Column("reason_code", sa.Text),
        sa.Column("reason_system", sa.Text),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_answer", "feedback", ["answer"])
    op.create_index("feedback_received_at", "feedback", ["received_at"])
