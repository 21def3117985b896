"""What calls in the real world need: trunks with a way to send keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "trunks",
        sa.Column("dtmf_mode", sa.String(length=8), nullable=False, server_default="auto"),
    )


def downgrade() -> None:
    op.drop_column("trunks", "dtmf_mode")
