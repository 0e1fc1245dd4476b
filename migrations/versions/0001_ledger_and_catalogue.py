"""The first schema: tenants, keys, catalogue, price book, ledger, their roles and policies.

Roles: the owner runs migrations; `gateway_app` serves and sees one workspace at a time;
`gateway_ingest` writes the ledger; `gateway_reader` cannot log in and owns the few functions
that read across workspaces. Row-level security is forced on each tenant table.
"""

from alembic import op
from flask import current_app
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.units import PLATFORM_ID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = ("application", "api_key", "provider", "credential", "model", "deployment", "price")
CATALOGUE = ("provider", "credential", "model", "deployment", "price")
LEDGER = ("usage_event", "charge")
ROLLUPS = {"rollup_hour_key": "key_id", "rollup_hour_app": "application_id", "rollup_hour_model": "model_id"}
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
    """Make everything, in the order in which it depends on each other."""
    _roles()
    op.execute("create extension if not exists btree_gist")
    _tenants()
    _catalogue()
    _ledger()
    _policies()
    _functions()
    op.execute("insert into revision (catalogue, keys) values (1, 1)")
    op.execute("create policy owner_seed on workspace to current_user using (true) with check (true)")
    op.execute(f"insert into workspace (workspace_id, name) values ('{PLATFORM_ID}', 'platform')")
    op.execute("drop policy owner_seed on workspace")
    op.execute("select ensure_partitions(now(), 4)")


def downgrade() -> None:
    """Drop the schema's content. Roles stay: they belong to the whole cluster."""
    for name in (
        "keys_since(bigint)",
        "catalogue_since(bigint)",
        "platform_summary()",
        "ensure_partitions(timestamptz, int)",
    ):
        op.execute(f"drop function {name}")
    op.execute("drop table rollup_zone")
    for table in (*ROLLUPS, *LEDGER, "ingest_reject", "ingest_cursor", "revision", "price", "deployment", "model"):
        op.execute(f"drop table {table}")
    for table in ("credential", "provider", "key_index", "api_key", "application", "user_account", "workspace"):
        op.execute(f"drop table {table}")


def _roles() -> None:
    """Make the roles that are missing. Their passwords are those of the configured addresses."""
    settings = current_app.extensions["settings"]
    logins = {
        "gateway_app": settings.database_url,
        "gateway_ingest": settings.database_ingest_url,
        "gateway_reader": "",
    }
    bind = op.get_bind()
    for role, url in logins.items():
        if bind.execute(text("select 1 from pg_roles where rolname = :role"), {"role": role}).first():
            continue
        password = make_url(url).password if url else None
        login = f"login password {_literal(str(password))}" if password else "nologin"
        op.execute(f"create role {role} {login} nosuperuser nobypassrls nocreatedb nocreaterole".replace(":", r"\:"))
    op.execute("grant gateway_reader to current_user")
    op.execute("grant usage on schema public to gateway_app, gateway_ingest, gateway_reader")


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _tenants() -> None:
    op.execute("""
        create table workspace (
            workspace_id uuid constraint pk_workspace primary key,
            name text not null constraint uq_workspace_name unique,
            timezone text not null default 'UTC',
            currency text not null default 'USD',
            managed_by text not null default 'console' constraint ck_workspace_managed_by check (managed_by in ('console', 'file')),
            archived_at timestamptz,
            created_at timestamptz not null default now()
        )""")
    op.execute("""
        create table user_account (
            user_id uuid constraint pk_user_account primary key,
            email text not null constraint uq_user_account_email unique,
            name text not null,
            platform_role text constraint ck_user_account_platform_role check (platform_role in ('admin', 'auditor')),
            password_hash text,
            disabled_at timestamptz,
            created_at timestamptz not null default now()
        )""")
    op.execute("""
        create table application (
            workspace_id uuid not null constraint fk_application_workspace_id_workspace references workspace,
            application_id uuid not null,
            name text not null,
            cost_centre text,
            tags jsonb not null default '{}',
            managed_by text not null default 'console' constraint ck_application_managed_by check (managed_by in ('console', 'file')),
            archived_at timestamptz,
            created_at timestamptz not null default now(),
            constraint pk_application primary key (workspace_id, application_id),
            constraint uq_application_workspace_id unique (workspace_id, name)
        )""")
    op.execute("""
        create table api_key (
            workspace_id uuid not null,
            key_id uuid not null,
            application_id uuid,
            kind text not null default 'proxy' constraint ck_api_key_kind check (kind in ('proxy', 'management')),
            name text not null,
            prefix text not null,
            last4 text not null,
            state text not null default 'active' constraint ck_api_key_state check (state in ('active', 'revoked')),
            models text[] not null,
            limit_requests_per_min integer,
            limit_tokens_per_min integer,
            limit_parallel integer,
            budget_usd numeric(24, 12),
            budget_period text constraint ck_api_key_budget_period check (budget_period in ('hour', 'day', 'week', 'month', 'total')),
            expires_at timestamptz,
            managed_by text not null default 'console' constraint ck_api_key_managed_by check (managed_by in ('console', 'file')),
            revision integer not null,
            created_at timestamptz not null default now(),
            revoked_at timestamptz,
            constraint pk_api_key primary key (workspace_id, key_id),
            constraint uq_api_key_workspace_id unique (workspace_id, application_id, name),
            constraint fk_api_key_workspace_id_application foreign key (workspace_id, application_id) references application,
            constraint ck_api_key_application check (kind = 'management' or application_id is not null)
        )""")
    op.execute("create index ix_api_key_revision on api_key (revision)")
    op.execute("""
        create table key_index (
            hash bytea constraint pk_key_index primary key,
            pepper_version integer not null,
            workspace_id uuid not null,
            key_id uuid not null,
            valid_until timestamptz,
            constraint fk_key_index_workspace_id_api_key foreign key (workspace_id, key_id) references api_key
        )""")
    op.execute("create index ix_key_index_workspace_id on key_index (workspace_id, key_id)")


def _catalogue() -> None:
    op.execute("""
        create table provider (
            workspace_id uuid not null constraint fk_provider_workspace_id_workspace references workspace,
            provider_id uuid not null,
            name text not null,
            kind text not null,
            base_url text not null,
            timeouts jsonb not null default '{}',
            managed_by text not null default 'console' constraint ck_provider_managed_by check (managed_by in ('console', 'file')),
            created_at timestamptz not null default now(),
            constraint pk_provider primary key (workspace_id, provider_id),
            constraint uq_provider_workspace_id unique (workspace_id, name)
        )""")
    op.execute("""
        create table credential (
            workspace_id uuid not null,
            credential_id uuid not null,
            provider_id uuid not null,
            sealed bytea not null,
            last4 text not null,
            created_at timestamptz not null default now(),
            constraint pk_credential primary key (workspace_id, credential_id),
            constraint fk_credential_workspace_id_provider foreign key (workspace_id, provider_id) references provider
        )""")
    op.execute("""
        create table model (
            workspace_id uuid not null constraint fk_model_workspace_id_workspace references workspace,
            model_id uuid not null,
            name text not null,
            managed_by text not null default 'console' constraint ck_model_managed_by check (managed_by in ('console', 'file')),
            created_at timestamptz not null default now(),
            constraint pk_model primary key (workspace_id, model_id),
            constraint uq_model_workspace_id unique (workspace_id, name)
        )""")
    op.execute("""
        create table deployment (
            workspace_id uuid not null,
            deployment_id uuid not null,
            model_id uuid not null,
            provider_id uuid not null,
            upstream_model text not null,
            weight integer not null default 1 constraint ck_deployment_weight check (weight >= 0),
            priority integer not null default 0,
            created_at timestamptz not null default now(),
            constraint pk_deployment primary key (workspace_id, deployment_id),
            constraint uq_deployment_model_id unique (model_id, provider_id, upstream_model),
            constraint fk_deployment_workspace_id_model foreign key (workspace_id, model_id) references model,
            constraint fk_deployment_workspace_id_provider foreign key (workspace_id, provider_id) references provider
        )""")
    op.execute("""
        create table price (
            workspace_id uuid not null constraint fk_price_workspace_id_workspace references workspace,
            price_id uuid not null,
            subject_id uuid not null,
            meter text not null,
            kind text not null default 'list' constraint ck_price_kind check (kind in ('list', 'contract', 'provider_cost')),
            unit_price numeric(24, 12) not null constraint ck_price_unit_price check (unit_price >= 0),
            tiers jsonb not null default '[]',
            valid tstzrange not null,
            created_at timestamptz not null default now(),
            constraint pk_price primary key (workspace_id, price_id),
            constraint ex_price_overlap exclude using gist
                (subject_id with =, meter with =, kind with =, workspace_id with =, valid with &&)
        )""")
    op.execute("create index ix_price_subject_id on price (subject_id)")
    op.execute("""
        create table revision (
            "only" boolean default true constraint pk_revision primary key constraint ck_revision_only check ("only"),
            catalogue integer not null,
            keys integer not null
        )""")


def _ledger() -> None:
    meters = ", ".join(f"{m} bigint not null default 0 constraint ck_usage_event_{m} check ({m} >= 0)" for m in METERS)
    op.execute(f"""
        create table usage_event (
            workspace_id uuid not null,
            occurred_at timestamptz not null,
            event_id uuid not null,
            application_id uuid,
            key_id uuid not null,
            model_id uuid not null,
            alias text not null,
            deployment_id uuid not null,
            provider text not null,
            upstream_model text not null,
            state text not null constraint ck_usage_event_state check (state in ('provisional', 'settled')),
            outcome text not null,
            error_code text,
            http_status integer not null,
            streamed boolean not null,
            attempts integer not null,
            usage_source text not null
                constraint ck_usage_event_usage_source check (usage_source in ('reported', 'estimated', 'none')),
            billable boolean not null,
            billable_reason text,
            {meters},
            other_meters jsonb not null default '{{}}',
            reported jsonb,
            latency_ms integer,
            first_byte_ms integer,
            client_request_id text,
            ingested_at timestamptz not null default now(),
            constraint pk_usage_event primary key (workspace_id, occurred_at, event_id)
        ) partition by range (occurred_at)""")
    op.execute("create index ix_usage_event_key_id on usage_event (workspace_id, key_id, occurred_at)")
    op.execute("""
        create table charge (
            workspace_id uuid not null,
            occurred_at timestamptz not null,
            event_id uuid not null,
            price_ids uuid[] not null,
            list_cost numeric(24, 12),
            billed_cost numeric(24, 12),
            currency text not null default 'USD',
            rated_at timestamptz not null default now(),
            constraint pk_charge primary key (workspace_id, occurred_at, event_id)
        ) partition by range (occurred_at)""")
    for table in LEDGER:
        op.execute(f"create table {table}_default partition of {table} default")
    op.execute("""
        create table ingest_cursor (
            bucket integer constraint pk_ingest_cursor primary key,
            last_id text not null,
            replid text not null,
            updated_at timestamptz not null default now()
        )""")
    op.execute("""
        create table ingest_reject (
            bucket integer not null,
            entry_id text not null,
            payload bytea not null,
            reason text not null,
            rejected_at timestamptz not null default now(),
            constraint pk_ingest_reject primary key (bucket, entry_id)
        )""")
    op.execute("""
        create table rollup_zone (
            workspace_id uuid constraint pk_rollup_zone primary key,
            timezone text not null
        )""")
    for table, dimension in ROLLUPS.items():
        dimensions = (dimension, "deployment_id") if dimension == "model_id" else (dimension,)
        op.execute(f"""
            create table {table} (
                workspace_id uuid not null,
                hour_start timestamptz not null,
                {", ".join(f"{d} uuid not null" for d in dimensions)},
                {", ".join(f"{c} integer not null default 0" for c in COUNTS)},
                {", ".join(f"{m} bigint not null default 0" for m in METERS)},
                list_cost numeric(24, 12) not null default 0,
                billed_cost numeric(24, 12) not null default 0,
                constraint pk_{table} primary key (workspace_id, hour_start, {", ".join(dimensions)})
            )""")


def _policies() -> None:
    """Every tenant table is closed, then opened for what each role needs and no more."""
    for table in ("workspace", *TENANT_TABLES, *LEDGER, *ROLLUPS, "rollup_zone"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        shown = f"workspace_id in ({HERE}, '{PLATFORM_ID}')" if table in CATALOGUE else f"workspace_id = {HERE}"
        op.execute(f"create policy app_read on {table} for select to gateway_app using ({shown})")
        op.execute(f"grant select on {table} to gateway_app")
    for table in ("workspace", *TENANT_TABLES):
        for verb, clause in (("insert", "with check"), ("update", "using"), ("delete", "using")):
            op.execute(
                f"create policy app_{verb} on {table} for {verb} to gateway_app {clause} (workspace_id = {HERE})"
            )
        op.execute(f"grant insert, update, delete on {table} to gateway_app")
        op.execute(f"create policy reader on {table} for select to gateway_reader using (true)")
        op.execute(f"grant select on {table} to gateway_reader")
    for table in ("workspace", "price"):
        op.execute(f"create policy ingest_read on {table} for select to gateway_ingest using (true)")
        op.execute(f"grant select on {table} to gateway_ingest")
    _ledger_policies()
    op.execute("grant select, insert, update, delete on user_account, key_index to gateway_app")
    op.execute("grant select on key_index to gateway_reader")
    op.execute("grant select, update on revision to gateway_app")
    op.execute("grant select on revision to gateway_reader, gateway_ingest")
    op.execute("grant select, insert, update on ingest_cursor to gateway_ingest")
    op.execute("grant select, insert on ingest_reject to gateway_ingest")
    op.execute("grant select on ingest_cursor, ingest_reject to gateway_app")


def _ledger_policies() -> None:
    """Ingest adds rows and may replace a provisional one; nobody deletes from the ledger."""
    for table in LEDGER:
        op.execute(f"create policy ingest_read on {table} for select to gateway_ingest using (true)")
        op.execute(f"create policy ingest_add on {table} for insert to gateway_ingest with check (true)")
        op.execute(f"grant select, insert, update on {table} to gateway_ingest")
    op.execute(
        "create policy ingest_settle on usage_event for update to gateway_ingest using (state = 'provisional') with check (true)"
    )
    op.execute("create policy ingest_rate on charge for update to gateway_ingest using (true) with check (true)")
    for table in (*ROLLUPS, "rollup_zone"):
        op.execute(f"create policy ingest_all on {table} to gateway_ingest using (true) with check (true)")
        op.execute(f"grant select, insert, update, delete on {table} to gateway_ingest")


def _functions() -> None:
    """The only reads across workspaces; none reaches usage. And the maker of partitions."""
    _reader_function(
        """catalogue_since(known bigint) returns table (
            workspace_id uuid, model_id uuid, name text, deployment_id uuid, upstream_model text, weight integer,
            priority integer, provider_id uuid, provider text, kind text, base_url text, timeouts jsonb, sealed bytea, prices jsonb)""",
        """select m.workspace_id, m.model_id, m.name, d.deployment_id, d.upstream_model, d.weight, d.priority,
                  p.provider_id, p.name, p.kind, p.base_url, p.timeouts,
                  (select c.sealed from credential c where c.workspace_id = p.workspace_id and c.provider_id = p.provider_id
                   order by c.created_at desc limit 1),
                  (select coalesce(jsonb_agg(jsonb_build_object(
                       'price_id', x.price_id, 'subject_id', x.subject_id, 'meter', x.meter, 'kind', x.kind,
                       'unit_price', x.unit_price::text, 'tiers', x.tiers, 'from', lower(x.valid), 'to', upper(x.valid))), '[]')
                   from price x where x.workspace_id = m.workspace_id and x.subject_id in (m.model_id, d.deployment_id))
           from model m
           left join deployment d on d.workspace_id = m.workspace_id and d.model_id = m.model_id
           left join provider p on p.workspace_id = d.workspace_id and p.provider_id = d.provider_id
           where (select r.catalogue from revision r) > known""",
    )
    _reader_function(
        """keys_since(known bigint) returns table (
            workspace_id uuid, key_id uuid, application_id uuid, kind text, active boolean, models text[],
            limit_requests_per_min integer, expires_at timestamptz, timezone text, revision integer, secrets jsonb)""",
        """select k.workspace_id, k.key_id, k.application_id, k.kind,
                  k.state = 'active' and w.archived_at is null and a.archived_at is null,
                  k.models, k.limit_requests_per_min, k.expires_at, w.timezone, k.revision,
                  (select coalesce(jsonb_agg(jsonb_build_object('hash', encode(i.hash, 'hex'), 'valid_until', i.valid_until)), '[]')
                   from key_index i where i.workspace_id = k.workspace_id and i.key_id = k.key_id)
           from api_key k
           join workspace w on w.workspace_id = k.workspace_id
           left join application a on a.workspace_id = k.workspace_id and a.application_id = k.application_id
           where k.revision > known""",
    )
    _reader_function(
        """platform_summary() returns table (
            workspace_id uuid, name text, timezone text, managed_by text, archived_at timestamptz)""",
        "select workspace_id, name, timezone, managed_by, archived_at from workspace",
    )
    _partition_maker()


def _reader_function(signature: str, body: str) -> None:
    name, _, rest = signature.partition("(")
    types = "bigint" if rest.startswith("known") else ""
    statement = (
        f"create function {signature} language sql stable security definer set search_path = public as $$ {body} $$"
    )
    op.execute(statement)
    op.execute("grant create on schema public to gateway_reader")
    op.execute(f"alter function {name}({types}) owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute(f"revoke all on function {name}({types}) from public")
    op.execute(f"grant execute on function {name}({types}) to gateway_app")


def _partition_maker() -> None:
    """Partitions belong to the owner, so making one ahead of its month takes the owner's rights."""
    op.execute(
        r"""
        create function ensure_partitions(first timestamptz, months int) returns int
        language plpgsql security definer set search_path = public as $$
        declare
            parent text; start_at timestamptz; end_at timestamptz; child text; made int \:= 0;
        begin
            for i in 0 .. months - 1 loop
                start_at \:= (date_trunc('month', first at time zone 'UTC') + make_interval(months => i)) at time zone 'UTC';
                end_at \:= (date_trunc('month', first at time zone 'UTC') + make_interval(months => i + 1)) at time zone 'UTC';
                foreach parent in array array['usage_event', 'charge'] loop
                    child \:= parent || to_char(start_at at time zone 'UTC', '_YYYYMM');
                    if to_regclass(child) is null then
                        execute format('create table %I partition of %I for values from (%L) to (%L)', child, parent, start_at, end_at);
                        made \:= made + 1;
                    end if;
                end loop;
            end loop;
            return made;
        end $$"""
    )
    op.execute("revoke all on function ensure_partitions(timestamptz, int) from public")
    op.execute("grant execute on function ensure_partitions(timestamptz, int) to gateway_ingest")
