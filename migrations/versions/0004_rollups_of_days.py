"""Sums by day, for any mix of application, key and model; and an index of the calls that failed.

Rollups that exist get the older layout's number, by which the worker knows that it has to rebuild them.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

METERS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "input_audio",
    "output_audio",
)
COUNTS = ("requests", "failed", "provisional", "estimated", "unpriced")
HERE = "nullif(current_setting('app.workspace_id', true), '')::uuid"


def upgrade() -> None:
    """Make the table with the rights of the other rollups."""
    op.execute(f"""
        create table rollup_day (
            workspace_id uuid not null,
            day_start timestamptz not null,
            application_id uuid not null,
            key_id uuid not null,
            model_id uuid not null,
            {", ".join(f"{c} integer not null default 0" for c in COUNTS)},
            {", ".join(f"{m} bigint not null default 0" for m in METERS)},
            list_cost numeric(24, 12) not null default 0,
            billed_cost numeric(24, 12) not null default 0,
            constraint pk_rollup_day primary key (workspace_id, day_start, application_id, key_id, model_id)
        )""")
    op.execute("create index ix_rollup_day_key_id on rollup_day (workspace_id, key_id, day_start)")
    op.execute("alter table rollup_day enable row level security")
    op.execute("alter table rollup_day force row level security")
    op.execute(f"create policy app_read on rollup_day for select to gateway_app using (workspace_id = {HERE})")
    op.execute("grant select on rollup_day to gateway_app")
    op.execute("create policy ingest_all on rollup_day to gateway_ingest using (true) with check (true)")
    op.execute("grant select, insert, update, delete on rollup_day to gateway_ingest")
    op.execute("alter table rollup_zone add column layout integer not null default 1")
    op.execute(
        "create index ix_usage_event_failed on usage_event (workspace_id, occurred_at)"
        " where outcome not in ('done', 'unsettled')"
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("drop index ix_usage_event_failed")
    op.execute("alter table rollup_zone drop column layout")
    op.execute("drop table rollup_day")
