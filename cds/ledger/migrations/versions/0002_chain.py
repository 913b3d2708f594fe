"""The chain: events, links and heads; what an older ledger holds is counted, and the chain begins after it.

Written out, not taken from schema.py: what this revision made must stay what it made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _events()
    _heads()
    _links()
    _count_what_is_there()


def downgrade() -> None:
    for table in ("links", "heads", "events"):
        op.drop_table(table)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("who", sa.String(64)),
        sa.Column("patient", sa.String(64)),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_at", "events", ["at"])


def _heads() -> None:
    op.create_table(
        "heads",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Column("earlier_answers", sa.BigInteger, nullable=False),
        sa.Column("earlier_feedback", sa.BigInteger, nullable=False),
    )


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "n"),
        sqlite_with_rowid=False,
    )


def _count_what_is_there() -> None:
    """No key is at hand here, so nothing can be signed yet: the first link of each chain will hold these counts."""
    empty = "x''" if op.get_bind().dialect.name == "sqlite" else "''::bytea"
    op.execute(
        f"INSERT INTO heads SELECT tenant, 0, {empty}, sum(answers), sum(feedback) FROM ("  # noqa: S608  no value of a stranger's
        " SELECT tenant, count(*) AS answers, 0 AS feedback FROM answers GROUP BY tenant"
        " UNION ALL SELECT tenant, 0, count(*) FROM feedback GROUP BY tenant) AS earlier GROUP BY tenant"
    )
