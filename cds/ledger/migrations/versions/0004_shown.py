"""An index over the answers that showed a card, by patient, for what her user thought of the last one.

Written out, not taken from schema.py: what this revision made must stay what it made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SHOWN = sa.text("kind = 'card'")


def upgrade() -> None:
    # If not there: tables that were made to look older still have it, and their upgrade must say what it finds.
    op.create_index(
        "answers_shown", "answers", ["patient"], sqlite_where=SHOWN, postgresql_where=SHOWN, if_not_exists=True
    )


def downgrade() -> None:
    op.drop_index("answers_shown", "answers")
