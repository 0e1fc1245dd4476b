"""The audit trail: the outbox that changes write to, the numbered trail, and the numbers.

Nobody but the owner changes or deletes an entry of the trail; only the worker takes from the outbox.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HERE = "nullif(current_setting('app.workspace_id', true), '')::uuid"
PARTITIONED = ("usage_event", "charge", "audit_event")
ENTRY = """
            workspace_id uuid not null,
            occurred_at timestamptz not null,
            audit_id uuid not null,
            actor_kind text not null constraint ck_{table}_actor_kind
                check (actor_kind in ('person', 'key', 'file', 'system', 'nobody')),
            actor_id text,
            actor_name text not null,
            actor_role text,
            action text not null,
            object_kind text not null,
            object_id text not null,
            object_name text not null,
            before jsonb,
            after jsonb,
            outcome text not null constraint ck_{table}_outcome check (outcome in ('done', 'refused', 'failed')),
            reason text,
            ip text,
            user_agent text,
            request_id text,"""


def upgrade() -> None:
    """Make the tables with the partitions of the next months, and say who may do what."""
    op.execute(f"""
        create table audit_outbox ({ENTRY.format(table="audit_outbox")}
            "position" bigint not null generated always as identity,
            constraint pk_audit_outbox primary key (workspace_id, occurred_at, audit_id)
        )""")
    op.execute(f"""
        create table audit_event ({ENTRY.format(table="audit_event")}
            seq bigint not null,
            written_at timestamptz not null default now(),
            constraint pk_audit_event primary key (workspace_id, occurred_at, audit_id)
        ) partition by range (occurred_at)""")
    op.execute("create table audit_event_default partition of audit_event default")
    op.execute("""
        create table audit_counter (
            workspace_id uuid constraint pk_audit_counter primary key,
            last_seq bigint not null
        )""")
    _policies()
    _partition_maker(PARTITIONED)
    op.execute("select ensure_partitions(now(), 4)")


def downgrade() -> None:
    """Drop what `upgrade` made."""
    _partition_maker(PARTITIONED[:-1])
    for table in ("audit_counter", "audit_event", "audit_outbox"):
        op.execute(f"drop table {table}")


def _policies() -> None:
    for table in ("audit_outbox", "audit_event", "audit_counter"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy app_read on {table} for select to gateway_app using (workspace_id = {HERE})")
        op.execute(f"grant select on {table} to gateway_app")
        op.execute(f"create policy ingest_read on {table} for select to gateway_ingest using (true)")
        op.execute(f"grant select on {table} to gateway_ingest")
    op.execute(f"create policy app_insert on audit_outbox for insert to gateway_app with check (workspace_id = {HERE})")
    op.execute("grant insert on audit_outbox to gateway_app")
    op.execute("create policy ingest_take on audit_outbox for delete to gateway_ingest using (true)")
    op.execute("grant delete on audit_outbox to gateway_ingest")
    for table in ("audit_event", "audit_counter"):
        op.execute(f"create policy ingest_add on {table} for insert to gateway_ingest with check (true)")
        op.execute(f"grant insert on {table} to gateway_ingest")
    op.execute(
        "create policy ingest_count on audit_counter for update to gateway_ingest using (true) with check (true)"
    )
    op.execute("grant update on audit_counter to gateway_ingest")


def _partition_maker(parents: tuple[str, ...]) -> None:
    """Have the maker of partitions make these tables' too; its owner and its grants stay."""
    listed = ", ".join(f"'{parent}'" for parent in parents)
    op.execute(
        r"""
        create or replace function ensure_partitions(first timestamptz, months int) returns int
        language plpgsql security definer set search_path = public as $$
        declare
            parent text; start_at timestamptz; end_at timestamptz; child text; made int \:= 0;
        begin
            for i in 0 .. months - 1 loop
                start_at \:= (date_trunc('month', first at time zone 'UTC') + make_interval(months => i)) at time zone 'UTC';
                end_at \:= (date_trunc('month', first at time zone 'UTC') + make_interval(months => i + 1)) at time zone 'UTC';
                foreach parent in array array[PARENTS] loop
                    child \:= parent || to_char(start_at at time zone 'UTC', '_YYYYMM');
                    if to_regclass(child) is null then
                        execute format('create table %I partition of %I for values from (%L) to (%L)', child, parent, start_at, end_at);
                        made \:= made + 1;
                    end if;
                end loop;
            end loop;
            return made;
        end $$""".replace("PARENTS", listed)
    )
