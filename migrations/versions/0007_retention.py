"""Retention: what the worker may drop, and how far it has forgotten the details of calls.

The months of the ledger and of the audit trail go as whole partitions, never younger than a year.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

DETAILS = "'{reported,client_request_id}'::text[]"


def upgrade() -> None:
    """Make the function that drops months, and let the worker forget details and rejects."""
    op.execute("""
        create table retention_mark (
            class text constraint pk_retention_mark primary key,
            month date not null
        )""")
    op.execute("grant select, insert, update on retention_mark to gateway_ingest")
    op.execute("grant select on retention_mark to gateway_app")
    op.execute("grant delete on ingest_reject to gateway_ingest")
    op.execute("create index ix_ingest_reject_rejected_at on ingest_reject (rejected_at)")
    _dropper()
    _forgetting()
    _stamps("clock_timestamp()")


def downgrade() -> None:
    """Drop what `upgrade` made."""
    _stamps("now()")
    op.execute("drop trigger settled_stays on usage_event")
    op.execute("drop function settled_stays()")
    op.execute("drop policy ingest_forget on usage_event")
    op.execute("drop function drop_months(text, timestamptz)")
    op.execute("drop index ix_ingest_reject_rejected_at")
    op.execute("revoke delete on ingest_reject from gateway_ingest")
    op.execute("drop table retention_mark")


def _dropper() -> None:
    """Months are named by the maker of partitions; the default partition never goes."""
    op.execute(r"""
        create function drop_months(parent text, before timestamptz) returns text[]
        language plpgsql security definer set search_path = public set lock_timeout = '1s' as $$
        declare
            child text; dropped text[] \:= '{}';
            first_kept text \:= to_char(least(before, now() - interval '1 year') at time zone 'UTC', 'YYYYMM');
        begin
            if parent not in ('usage_event', 'charge', 'audit_event') then
                raise exception 'this table has no months that may go';
            end if;
            for child in
                select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = parent\:\:regclass and c.relname ~ ('^' || parent || '_\d{6}$')
                  and right(c.relname, 6) < first_kept
                order by 1
            loop
                execute format('drop table %I', child);
                dropped \:= dropped || child;
            end loop;
            return dropped;
        end $$""")
    op.execute("revoke all on function drop_months(text, timestamptz) from public")
    op.execute("grant execute on function drop_months(text, timestamptz) to gateway_ingest")


def _forgetting() -> None:
    """A settled call stays as it is, but for its details, and those only after a day."""
    op.execute(
        "create policy ingest_forget on usage_event for update to gateway_ingest"
        " using (occurred_at < now() - interval '1 day') with check (true)"
    )
    op.execute(
        f"""
        create function settled_stays() returns trigger language plpgsql as $$
        begin
            if to_jsonb(new) - {DETAILS} <> to_jsonb(old) - {DETAILS} or new.reported is not null or new.client_request_id is not null then
                raise exception 'a settled call stays as it is: only its details may be forgotten'
                    using errcode = 'insufficient_privilege';
            end if;
            return new;
        end $$""".replace("::", r"\:\:")
    )
    op.execute(
        "create trigger settled_stays before update on usage_event for each row"
        " when (old.state = 'settled') execute function settled_stays()"
    )


def _stamps(clock: str) -> None:
    """Rows are stamped when they are written, under their writer's lock: the start of its transaction was before that."""
    op.execute(f"alter table usage_event alter column ingested_at set default {clock}")
    op.execute(f"alter table audit_event alter column written_at set default {clock}")
