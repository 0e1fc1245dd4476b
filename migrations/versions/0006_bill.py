"""The bill: the price book's kinds and tiers, rating runs, periods and statements, budgets and alerts, exports.

What is financial refers to other tables by id alone and is never deleted by us: a bill outlives what it bills.
"""

from alembic import op

from app.units import PLATFORM_ID

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

HERE = "nullif(current_setting('app.workspace_id', true), '')::uuid"
MONEY = "numeric(24, 12)"
SCOPES = "('workspace', 'application', 'key', 'model')"
TENANT = (
    "price_adjustment",
    "rating_run",
    "rating_delta",
    "billing_period",
    "correction",
    "credit",
    "statement",
    "statement_line",
    "budget",
    "budget_alert",
    "channel",
    "delivery",
    "export_job",
    "export_schedule",
)
"""Tables of workspaces, made here. In this order each comes after those that it refers to."""
CATALOGUE = """
    select m.workspace_id, m.model_id, m.name, d.deployment_id, d.upstream_model, d.weight, d.priority,
           p.provider_id, p.name, p.kind, p.base_url, p.timeouts,
           (select c.sealed from credential c where c.workspace_id = p.workspace_id and c.provider_id = p.provider_id
            order by c.created_at desc limit 1),
           (select coalesce(jsonb_agg(jsonb_build_object(
                'workspace_id', x.workspace_id, 'price_id', x.price_id, 'subject_id', x.subject_id, 'meter', x.meter, 'kind', x.kind,
                'unit_price', x.unit_price::text, {tiers} 'from', lower(x.valid), 'to', upper(x.valid))), '[]')
            from price x where x.subject_id in (m.model_id, d.deployment_id) and not isempty(x.valid){billing}
             and (x.workspace_id = m.workspace_id or (x.kind = 'contract' and {contracts})))
    from model m
    left join deployment d on d.workspace_id = m.workspace_id and d.model_id = m.model_id
    left join provider p on p.workspace_id = d.workspace_id and p.provider_id = d.provider_id
    where (select r.catalogue from revision r) > known"""
CATALOGUE_COLUMNS = """workspace_id uuid, model_id uuid, name text, deployment_id uuid, upstream_model text, weight integer,
    priority integer, provider_id uuid, provider text, kind text, base_url text, timeouts jsonb, sealed bytea, prices jsonb"""
ACTING = """,
           (select coalesce(jsonb_agg(jsonb_build_object(
                'name', b.name, 'scope', b.scope, 'model_id', case b.scope when 'model' then b.scope_id end, 'action', b.action,
                'downgrade_to', b.downgrade_to, 'limit', b.limit_usd::text, 'spent', b.acting_spent::text,
                'until', b.acting_until) order by b.budget_id), '[]')
            from budget b
            where b.workspace_id = k.workspace_id and b.acting_since is not null and b.archived_at is null
              and (b.scope in ('workspace', 'model') or b.scope_id in (k.key_id, k.application_id)))"""
"""What a key's budgets do now. A budget that begins or stops to act brings all keys of its workspace anew."""
KEYS = """
    select k.workspace_id, k.key_id, k.application_id, k.kind,
           k.state = 'active' and k.suspended_at is null and w.archived_at is null and a.archived_at is null,
           k.models, k.limit_requests_per_min, k.expires_at, w.timezone, k.revision,
           (select coalesce(jsonb_agg(jsonb_build_object(
                'hash', encode(i.hash, 'hex'), 'pepper', i.pepper_version, 'valid_until', i.valid_until)), '[]')
            from key_index i where i.workspace_id = k.workspace_id and i.key_id = k.key_id),
           w.networks::text[], p.kind, p.authority, p.token_audience, k.token_tenant, k.token_claim, k.token_value{acting}
    from api_key k
    join workspace w on w.workspace_id = k.workspace_id
    left join application a on a.workspace_id = k.workspace_id and a.application_id = k.application_id
    left join identity_provider p on p.provider_id = k.token_provider_id and p.disabled_at is null
    where k.revision > known{changed}"""
KEYS_COLUMNS = """workspace_id uuid, key_id uuid, application_id uuid, kind text, active boolean, models text[],
    limit_requests_per_min integer, expires_at timestamptz, timezone text, revision integer, secrets jsonb, networks text[],
    token_kind text, token_authority text, token_audience text, token_tenant text, token_claim text, token_value text"""
CHANGED = " or k.workspace_id in (select b.workspace_id from budget b where b.revision > known)"
DAY_KEY = "workspace_id, day_start, application_id, key_id, model_id"
DAY_TEXTS = ("alias", "provider", "outcome")
NOT_DELETED = ("rating_run", "rating_delta", "correction", "credit", "statement", "statement_line")


def upgrade() -> None:
    """Make the tables and columns, close them, and open what each role needs."""
    _prices()
    _charges()
    _days()
    _rating()
    _periods()
    _budgets()
    _channels()
    _exports()
    _policies()
    _refusals()
    _last_month_end()
    _catalogue_since("'service_tier', x.service_tier, 'context_over', x.context_over,", contracts=True)
    _adjustments_since()
    _readers_of_budgets()
    _rights_of_alerts()


def downgrade() -> None:
    """Drop what `upgrade` made. Tiers, contracts and costs of providers are lost."""
    _keys_since(KEYS_COLUMNS, KEYS.format(acting="", changed=""))
    op.execute("revoke update (keys) on revision from gateway_ingest")
    op.execute("drop function adjustments_since(bigint)")
    op.execute("drop function last_month_end()")
    _price_read(f"workspace_id in ({HERE}, '{PLATFORM_ID}')")
    for table in reversed(TENANT):
        op.execute(f"drop table {table}")
    op.execute("drop table refusal_hour")
    op.execute(
        "alter table charge drop column provider_cost, drop column adjustment_id, drop column run_id,"
        " drop column corrected_cost"
    )
    op.execute("alter table usage_event drop column service_tier")
    _days_without()
    op.execute("alter table price drop constraint ex_price_overlap")
    op.execute("delete from price where service_tier <> 'standard' or context_over <> 0")
    op.execute(
        "alter table price drop column service_tier, drop column context_over, drop column created_by, drop column note,"
        " add column tiers jsonb not null default '[]'"
    )
    op.execute(
        "alter table price add constraint ex_price_overlap exclude using gist"
        " (subject_id with =, meter with =, kind with =, workspace_id with =, valid with &&)"
    )
    op.execute("alter table workspace drop column po_number")
    _catalogue_since("'tiers', x.tiers,", contracts=False)


def _prices() -> None:
    """A tier is a row of its own, so that a charge names the very row that counted."""
    op.execute("alter table price drop constraint ex_price_overlap, drop column tiers")
    op.execute("""
        alter table price
            add service_tier text not null default 'standard'
                constraint ck_price_service_tier check (service_tier in ('standard', 'batch', 'flex', 'priority')),
            add context_over bigint not null default 0 constraint ck_price_context_over check (context_over >= 0),
            add created_by uuid,
            add note text,
            add constraint ex_price_overlap exclude using gist (subject_id with =, meter with =, kind with =,
                workspace_id with =, service_tier with =, context_over with =, valid with &&)""")
    op.execute("""
        create table price_adjustment (
            workspace_id uuid not null constraint fk_price_adjustment_workspace_id_workspace references workspace,
            adjustment_id uuid not null,
            factor numeric(9, 6) not null constraint ck_price_adjustment_factor check (factor between 0 and 100),
            valid tstzrange not null,
            note text,
            created_by uuid,
            created_at timestamptz not null default now(),
            constraint pk_price_adjustment primary key (workspace_id, adjustment_id),
            constraint ex_price_adjustment_overlap exclude using gist (workspace_id with =, valid with &&)
        )""")
    op.execute("alter table workspace add po_number text")


def _charges() -> None:
    op.execute("alter table usage_event add service_tier text")
    op.execute(
        f"alter table charge add provider_cost {MONEY}, add adjustment_id uuid, add run_id uuid, add corrected_cost {MONEY}"
    )


def _days() -> None:
    """Sums of days keep apart what was asked for, who served it and how it ended. The worker rebuilds older ones."""
    added = ", ".join(f"add column {name} text not null default ''" for name in DAY_TEXTS)
    op.execute(f"alter table rollup_day drop constraint pk_rollup_day, {added}")
    op.execute(f"alter table rollup_day {', '.join(f'alter column {name} drop default' for name in DAY_TEXTS)}")
    op.execute(f"alter table rollup_day add constraint pk_rollup_day primary key ({DAY_KEY}, {', '.join(DAY_TEXTS)})")


def _days_without() -> None:
    """Leave the days empty, for the worker of the older release to rebuild."""
    op.execute("delete from rollup_day")
    op.execute("update rollup_zone set layout = 1")
    dropped = ", ".join(f"drop column {name}" for name in DAY_TEXTS)
    op.execute(f"alter table rollup_day drop constraint pk_rollup_day, {dropped}")
    op.execute(f"alter table rollup_day add constraint pk_rollup_day primary key ({DAY_KEY})")


def _rating() -> None:
    op.execute(f"""
        create table rating_run (
            workspace_id uuid not null constraint fk_rating_run_workspace_id_workspace references workspace,
            run_id uuid not null,
            kind text not null constraint ck_rating_run_kind check (kind in ('dry_run', 'apply', 'check')),
            state text not null default 'waiting'
                constraint ck_rating_run_state check (state in ('waiting', 'running', 'done', 'cancelled', 'failed')),
            since timestamptz not null,
            until timestamptz not null,
            model_id uuid,
            reason text not null,
            calls bigint not null default 0,
            calls_done bigint not null default 0,
            done_until timestamptz,
            changed bigint not null default 0,
            delta {MONEY} not null default 0,
            created_by uuid,
            created_at timestamptz not null default now(),
            finished_at timestamptz,
            constraint pk_rating_run primary key (workspace_id, run_id),
            constraint ck_rating_run_span check (since < until)
        )""")
    op.execute(f"""
        create table rating_delta (
            workspace_id uuid not null,
            run_id uuid not null,
            application_id uuid not null,
            model_id uuid not null,
            month date not null,
            is_closed boolean not null,
            calls bigint not null,
            before {MONEY} not null,
            after {MONEY} not null,
            unpriced_before bigint not null default 0,
            unpriced_after bigint not null default 0,
            constraint pk_rating_delta primary key (workspace_id, run_id, month, is_closed, application_id, model_id),
            constraint fk_rating_delta_workspace_id_rating_run foreign key (workspace_id, run_id) references rating_run
        )""")


def _periods() -> None:
    op.execute("""
        create table billing_period (
            workspace_id uuid not null constraint fk_billing_period_workspace_id_workspace references workspace,
            month date not null,
            state text not null default 'open'
                constraint ck_billing_period_state check (state in ('open', 'draft', 'closed')),
            timezone text not null,
            starts_at timestamptz not null,
            ends_at timestamptz not null,
            closed_at timestamptz,
            closed_by uuid,
            totals_hash bytea,
            constraint pk_billing_period primary key (workspace_id, month),
            constraint ck_billing_period_month check (extract(day from month) = 1),
            constraint ck_billing_period_closed check ((state = 'closed') = (closed_at is not null)),
            constraint ck_billing_period_span check (starts_at < ends_at),
            constraint ex_billing_period_overlap exclude using gist
                (workspace_id with =, tstzrange(starts_at, ends_at) with &&)
        )""")
    op.execute(f"""
        create table correction (
            workspace_id uuid not null constraint fk_correction_workspace_id_workspace references workspace,
            correction_id uuid not null,
            closed_month date not null,
            into_month date not null,
            application_id uuid,
            model_id uuid,
            run_id uuid,
            calls bigint not null default 0,
            amount {MONEY} not null,
            reason text not null,
            created_at timestamptz not null default clock_timestamp(),
            constraint pk_correction primary key (workspace_id, correction_id),
            constraint ck_correction_months check (closed_month < into_month)
        )""")
    op.execute(f"""
        create table credit (
            workspace_id uuid not null constraint fk_credit_workspace_id_workspace references workspace,
            credit_id uuid not null,
            month date not null,
            amount {MONEY} not null constraint ck_credit_amount check (amount <> 0),
            reason text not null,
            created_by uuid,
            created_at timestamptz not null default clock_timestamp(),
            constraint pk_credit primary key (workspace_id, credit_id)
        )""")
    op.execute(f"""
        create table statement (
            workspace_id uuid not null constraint fk_statement_workspace_id_workspace references workspace,
            statement_id uuid not null,
            month date not null,
            version integer not null default 1,
            number text not null constraint uq_statement_number unique,
            currency text not null,
            po_number text,
            total {MONEY} not null,
            issued_at timestamptz not null,
            voided_at timestamptz,
            constraint pk_statement primary key (workspace_id, statement_id),
            constraint uq_statement_workspace_id unique (workspace_id, month, version)
        )""")
    op.execute(f"""
        create table statement_line (
            workspace_id uuid not null,
            statement_id uuid not null,
            line integer not null,
            kind text not null
                constraint ck_statement_line_kind check (kind in ('usage', 'correction', 'credit', 'rounding')),
            application_id uuid,
            model_id uuid,
            description text not null,
            calls bigint not null default 0,
            tokens bigint not null default 0,
            amount {MONEY} not null,
            constraint pk_statement_line primary key (workspace_id, statement_id, line),
            constraint fk_statement_line_workspace_id_statement foreign key (workspace_id, statement_id) references statement
        )""")


def _budgets() -> None:
    op.execute(f"""
        create table budget (
            workspace_id uuid not null constraint fk_budget_workspace_id_workspace references workspace,
            budget_id uuid not null,
            name text not null,
            scope text not null constraint ck_budget_scope check (scope in {SCOPES}),
            scope_id uuid,
            period text not null
                constraint ck_budget_period check (period in ('hour', 'day', 'week', 'month', 'total')),
            limit_usd {MONEY} not null constraint ck_budget_limit_usd check (limit_usd >= 0),
            thresholds integer[] not null default '{{50,80,100}}',
            action text not null default 'notify'
                constraint ck_budget_action check (action in ('notify', 'downgrade', 'block')),
            downgrade_to text,
            created_by uuid,
            created_at timestamptz not null default now(),
            checked_at timestamptz,
            acting_since timestamptz,
            acting_until timestamptz,
            acting_spent {MONEY},
            revision integer not null default 0,
            archived_at timestamptz,
            constraint pk_budget primary key (workspace_id, budget_id),
            constraint uq_budget_workspace_id unique (workspace_id, name),
            constraint ck_budget_scope_id check ((scope = 'workspace') = (scope_id is null)),
            constraint ck_budget_downgrade check ((action = 'downgrade') = (downgrade_to is not null))
        )""")
    op.execute(f"""
        create table budget_alert (
            workspace_id uuid not null,
            budget_id uuid not null,
            period_start timestamptz not null,
            threshold integer not null,
            spent {MONEY} not null,
            limit_usd {MONEY} not null,
            fired_at timestamptz not null default now(),
            constraint pk_budget_alert primary key (workspace_id, budget_id, period_start, threshold),
            constraint fk_budget_alert_workspace_id_budget foreign key (workspace_id, budget_id) references budget
        )""")
    op.execute("create index ix_budget_revision on budget (workspace_id, revision) where revision > 0")


def _channels() -> None:
    op.execute("""
        create table channel (
            workspace_id uuid not null constraint fk_channel_workspace_id_workspace references workspace,
            channel_id uuid not null,
            name text not null,
            kind text not null constraint ck_channel_kind check (kind in ('email', 'webhook', 'slack', 'teams')),
            target text not null,
            sealed_secret bytea,
            events text[] not null default '{}',
            enabled boolean not null default true,
            created_by uuid,
            created_at timestamptz not null default now(),
            constraint pk_channel primary key (workspace_id, channel_id),
            constraint uq_channel_workspace_id unique (workspace_id, name)
        )""")
    op.execute("""
        create table delivery (
            workspace_id uuid not null,
            delivery_id uuid not null,
            channel_id uuid not null,
            event text not null,
            about text not null,
            payload jsonb not null,
            state text not null default 'waiting'
                constraint ck_delivery_state check (state in ('waiting', 'sent', 'failed')),
            attempts integer not null default 0,
            next_at timestamptz not null default now(),
            answer text,
            created_at timestamptz not null default now(),
            sent_at timestamptz,
            constraint pk_delivery primary key (workspace_id, delivery_id),
            constraint uq_delivery_workspace_id unique (workspace_id, channel_id, event, about),
            constraint fk_delivery_workspace_id_channel foreign key (workspace_id, channel_id) references channel on delete cascade
        )""")
    op.execute("create index ix_delivery_next_at on delivery (next_at) where state = 'waiting'")


def _exports() -> None:
    op.execute("""
        create table export_schedule (
            workspace_id uuid not null constraint fk_export_schedule_workspace_id_workspace references workspace,
            schedule_id uuid not null,
            name text not null,
            what jsonb not null,
            every text not null constraint ck_export_schedule_every check (every in ('day', 'week', 'month')),
            next_at timestamptz not null,
            enabled boolean not null default true,
            created_by uuid not null,
            created_at timestamptz not null default now(),
            constraint pk_export_schedule primary key (workspace_id, schedule_id),
            constraint uq_export_schedule_workspace_id unique (workspace_id, name)
        )""")
    op.execute("""
        create table export_job (
            workspace_id uuid not null constraint fk_export_job_workspace_id_workspace references workspace,
            export_id uuid not null,
            schedule_id uuid,
            what jsonb not null,
            state text not null default 'waiting'
                constraint ck_export_job_state check (state in ('waiting', 'running', 'done', 'cancelled', 'failed')),
            as_of timestamptz not null,
            rows_total bigint,
            rows_done bigint not null default 0,
            bytes bigint,
            sha256 bytea,
            manifest jsonb,
            file text,
            downloads integer not null default 0,
            problem text,
            created_by uuid,
            created_at timestamptz not null default now(),
            finished_at timestamptz,
            expires_at timestamptz,
            constraint pk_export_job primary key (workspace_id, export_id),
            constraint uq_export_job_workspace_id unique (workspace_id, schedule_id, as_of)
        )""")


def _refusals() -> None:
    """How many calls were refused, with the rights of rollups: the worker adds, a workspace reads its own."""
    op.execute("""
        create table refusal_hour (
            workspace_id uuid not null,
            hour_start timestamptz not null,
            key_id uuid not null,
            code text not null,
            calls bigint not null,
            constraint pk_refusal_hour primary key (workspace_id, hour_start, key_id, code)
        )""")
    op.execute("alter table refusal_hour enable row level security")
    op.execute("alter table refusal_hour force row level security")
    op.execute(f"create policy app_read on refusal_hour for select to gateway_app using (workspace_id = {HERE})")
    op.execute("grant select on refusal_hour to gateway_app")
    op.execute("create policy ingest_all on refusal_hour to gateway_ingest using (true) with check (true)")
    op.execute("grant select, insert, update on refusal_hour to gateway_ingest")


def _policies() -> None:
    """The console works in its workspace; the worker, as `gateway_ingest`, in all of them."""
    for table in TENANT:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy app_read on {table} for select to gateway_app using (workspace_id = {HERE})")
        for verb, clause in (("insert", "with check"), ("update", "using")):
            op.execute(
                f"create policy app_{verb} on {table} for {verb} to gateway_app {clause} (workspace_id = {HERE})"
            )
        op.execute(f"grant select, insert, update on {table} to gateway_app")
        op.execute(f"create policy ingest_all on {table} to gateway_ingest using (true) with check (true)")
        op.execute(f"grant select, insert, update on {table} to gateway_ingest")
        if table not in NOT_DELETED:
            op.execute(f"create policy app_delete on {table} for delete to gateway_app using (workspace_id = {HERE})")
            op.execute(f"grant delete on {table} to gateway_app, gateway_ingest")

    # A workspace sees the platform's prices, which it pays, and not what the platform pays for them.
    _price_read(f"workspace_id = {HERE} or (workspace_id = '{PLATFORM_ID}' and kind <> 'provider_cost')")


def _price_read(shown: str) -> None:
    op.execute("drop policy app_read on price")
    op.execute(f"create policy app_read on price for select to gateway_app using ({shown})")


def _last_month_end() -> None:
    """Tell when the last month of any workspace that is not open ends: a platform's price counts in all of them."""
    op.execute("create policy reader on billing_period for select to gateway_reader using (true)")
    op.execute("grant select on billing_period to gateway_reader")
    op.execute("""
        create function last_month_end() returns timestamptz
        language sql stable security definer set search_path = public as $$
            select max(ends_at) from billing_period where state <> 'open' $$""")
    op.execute("grant create on schema public to gateway_reader")
    op.execute("alter function last_month_end() owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute("revoke all on function last_month_end() from public")
    op.execute("grant execute on function last_month_end() to gateway_app")


def _catalogue_since(tiers: str, *, contracts: bool) -> None:
    """Make the proxies' reader of the catalogue anew, with what a price row now says and the contracts of workspaces.

    What providers take bills nobody, so no proxy learns it.
    """
    op.execute("drop function catalogue_since(bigint)")
    billing = " and x.kind <> 'provider_cost'" if contracts else ""
    body = CATALOGUE.format(tiers=tiers, contracts=str(contracts).lower(), billing=billing)
    op.execute(
        f"create function catalogue_since(known bigint) returns table ({CATALOGUE_COLUMNS})"
        f" language sql stable security definer set search_path = public as $$ {body} $$"
    )
    op.execute("grant create on schema public to gateway_reader")
    op.execute("alter function catalogue_since(bigint) owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute("revoke all on function catalogue_since(bigint) from public")
    op.execute("grant execute on function catalogue_since(bigint) to gateway_app")


def _adjustments_since() -> None:
    """The proxies read the adjustments of all workspaces with the catalogue, whose revision counts their changes too."""
    op.execute("create policy reader on price_adjustment for select to gateway_reader using (true)")
    op.execute("grant select on price_adjustment to gateway_reader")
    op.execute("""
        create function adjustments_since(known bigint) returns table (workspace_id uuid, adjustment_id uuid,
            factor numeric, "from" timestamptz, "to" timestamptz)
        language sql stable security definer set search_path = public as $$
            select a.workspace_id, a.adjustment_id, a.factor, nullif(lower(a.valid), '-infinity'),
                   nullif(upper(a.valid), 'infinity')
            from price_adjustment a where not isempty(a.valid) and (select r.catalogue from revision r) > known $$""")
    op.execute("grant create on schema public to gateway_reader")
    op.execute("alter function adjustments_since(bigint) owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute("revoke all on function adjustments_since(bigint) from public")
    op.execute("grant execute on function adjustments_since(bigint) to gateway_app")


def _readers_of_budgets() -> None:
    """Tell the proxies, with each key, which budgets act; the worker, who finds that out, announces it."""
    op.execute("create policy reader on budget for select to gateway_reader using (true)")
    op.execute("grant select on budget to gateway_reader")
    op.execute("grant update (keys) on revision to gateway_ingest")
    _keys_since(f"{KEYS_COLUMNS}, acting jsonb", KEYS.format(acting=ACTING, changed=CHANGED))


def _rights_of_alerts() -> None:
    """Leave to each role what it does: the console ends budgets and reads alerts; the worker writes what came of them."""
    op.execute("revoke delete on budget, budget_alert, delivery from gateway_app")
    op.execute("revoke insert, update on budget_alert from gateway_app")
    op.execute("revoke update on delivery from gateway_app")
    op.execute("grant update (state, attempts, next_at, sent_at) on delivery to gateway_app")
    op.execute("revoke insert, update, delete on budget, channel from gateway_ingest")
    op.execute(
        "grant update (checked_at, acting_since, acting_until, acting_spent, revision) on budget to gateway_ingest"
    )
    op.execute("revoke update, delete on budget_alert from gateway_ingest")
    op.execute("revoke update on delivery from gateway_ingest")
    op.execute("grant update (state, attempts, next_at, answer, sent_at) on delivery to gateway_ingest")


def _keys_since(columns: str, body: str) -> None:
    """Make the proxies' reader of the keys anew."""
    op.execute("drop function keys_since(bigint)")
    op.execute(
        f"create function keys_since(known bigint) returns table ({columns})"
        f" language sql stable security definer set search_path = public as $$ {body} $$"
    )
    op.execute("grant create on schema public to gateway_reader")
    op.execute("alter function keys_since(bigint) owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute("revoke all on function keys_since(bigint) from public")
    op.execute("grant execute on function keys_since(bigint) to gateway_app")
