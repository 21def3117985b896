"""What calls in the real world need: trunks with a way to send keys, calls that are joined and
transferred."""

from __future__ import annotations

from typing import Any

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
    op.add_column("trunks", sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "outbound_usage",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("trunk_id", sa.String(length=40), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "trunk_id", "day", name="pk_outbound_usage"),
    )
    for column in _call_columns():
        op.add_column("calls", column)
    op.create_table(
        "call_signalling",
        sa.Column("call_id", sa.String(length=40), nullable=False),
        sa.Column("messages", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["calls.id"],
            name="fk_call_signalling_call_id_calls",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("call_id", name="pk_call_signalling"),
    )


def _call_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("identity", sa.JSON(), nullable=True),
        sa.Column("parent_call_id", sa.String(length=40), nullable=True),
        sa.Column("conference_id", sa.String(length=40), nullable=True),
        sa.Column("remote", sa.Text(), nullable=False, server_default=""),
        sa.Column("remote_name", sa.Text(), nullable=False, server_default=""),
        sa.Column("transfers", sa.JSON(), nullable=False, server_default="[]"),
    ]


def downgrade() -> None:
    op.drop_table("call_signalling")
    for column in reversed(_call_columns()):
        op.drop_column("calls", column.name)
    op.drop_table("outbound_usage")
    op.drop_column("trunks", "limits")
    op.drop_column("trunks", "dtmf_mode")
