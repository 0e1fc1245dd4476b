"""Identity providers and what comes from them: identities, roles by mapping, provisioned people, tokens instead of keys.

A role that somebody was given by hand and one that a mapping gives are kept apart; `role` is the
higher of both. Providers, identities and what SCIM provisions are global, like the accounts they
belong to. Mappings are a tenant's rows.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROLES = ("owner", "admin", "developer", "billing", "viewer")
PLATFORM = "00000000-0000-7000-8000-000000000001"
HERE = "nullif(current_setting('app.workspace_id', true), '')::uuid"
KEYS_SINCE = """
    select k.workspace_id, k.key_id, k.application_id, k.kind,
           k.state = 'active' and {alive} w.archived_at is null and a.archived_at is null,
           k.models, k.limit_requests_per_min, k.expires_at, w.timezone, k.revision,
           (select coalesce(jsonb_agg(jsonb_build_object('hash', encode(i.hash, 'hex'), {pepper} 'valid_until', i.valid_until)), '[]')
            from key_index i where i.workspace_id = k.workspace_id and i.key_id = k.key_id){more}
    from api_key k
    join workspace w on w.workspace_id = k.workspace_id
    left join application a on a.workspace_id = k.workspace_id and a.application_id = k.application_id{joined}
    where k.revision > known"""
KEY_COLUMNS = """workspace_id uuid, key_id uuid, application_id uuid, kind text, active boolean, models text[],
    limit_requests_per_min integer, expires_at timestamptz, timezone text, revision integer, secrets jsonb"""


def upgrade() -> None:
    """Make the tables and columns, close them, and open the ways to read across workspaces."""
    _providers()
    _people()
    _provisioning()
    _mappings()
    _keys()
    _reader_functions()


def downgrade() -> None:
    """Drop what `upgrade` made. Roles that only a mapping gave are lost."""
    for name in ("role_mappings_of(uuid)", "memberships_of(uuid)", "keys_owned_by(uuid)", "workload_keys_of(uuid)"):
        op.execute(f"drop function {name}")
    op.execute("drop function keys_since(bigint)")
    for column in ("owner_id", "suspended_at", "token_provider_id", "token_tenant", "token_claim", "token_value"):
        op.execute(f"alter table api_key drop column {column} cascade")
    op.execute("alter table api_key drop constraint ck_api_key_kind")
    op.execute("alter table api_key add constraint ck_api_key_kind check (kind in ('proxy', 'management'))")
    op.execute("alter table workspace drop column networks")
    _reader(
        "keys_since(known bigint)", "bigint", KEY_COLUMNS, KEYS_SINCE.format(alive="", pepper="", more="", joined="")
    )
    for table in ("role_mapping", "scim_group_member", "scim_group", "scim_user", "scim_token", "identity"):
        op.execute(f"drop table {table}")
    op.execute("alter table membership drop column role, drop column mapped_role")
    op.execute("alter table membership rename column granted_role to role")
    op.execute("alter table membership alter column role set not null")
    op.execute("alter table membership drop constraint ck_membership_source")
    op.execute("alter table membership add constraint ck_membership_source check (source in ('manual', 'invitation'))")
    op.execute("alter table console_session drop column method, drop column provider_id, drop column sid")
    op.execute("alter table user_account drop column platform_role, drop column mapped_platform_role")
    op.execute("alter table user_account rename column granted_platform_role to platform_role")
    op.execute(
        "alter table user_account drop column totp_sealed, drop column totp_confirmed_at, drop column totp_last_step"
    )
    op.execute("drop table sign_in_policy")
    op.execute("drop table identity_provider")


def _providers() -> None:
    op.execute(f"""
        create table identity_provider (
            provider_id uuid constraint pk_identity_provider primary key,
            name text not null constraint uq_identity_provider_name unique,
            kind text not null constraint ck_identity_provider_kind check (kind in ('entra', 'oidc')),
            authority text not null,
            tenant text,
            allowed_tenants text[] not null default '{{}}',
            client_id text not null,
            sealed_secret bytea,
            secret_expires_on date,
            graph_url text not null default 'https://graph.microsoft.com',
            token_audience text,
            guests boolean not null default false,
            accounts text not null default 'mapped'
                constraint ck_identity_provider_accounts check (accounts in ('off', 'default', 'mapped')),
            default_workspace_id uuid
                constraint fk_identity_provider_default_workspace_id_workspace references workspace (workspace_id),
            default_role text constraint ck_identity_provider_default_role check (default_role in ({_listed(ROLES)})),
            tested_by uuid constraint fk_identity_provider_tested_by_user_account references user_account (user_id),
            tested_at timestamptz,
            created_at timestamptz not null default now(),
            disabled_at timestamptz,
            constraint ck_identity_provider_tenant check ((kind = 'entra') = (tenant is not null)),
            constraint ck_identity_provider_default check ((accounts = 'default') = (default_role is not null)
                and (default_role is null) = (default_workspace_id is null))
        )""")
    op.execute("""
        create table sign_in_policy (
            single boolean constraint pk_sign_in_policy primary key default true constraint ck_sign_in_policy_single check (single),
            require_sso boolean not null default false,
            changed_at timestamptz not null default now()
        )""")
    op.execute("insert into sign_in_policy default values")
    op.execute("grant select, insert, update, delete on identity_provider to gateway_app")
    op.execute("grant select, update on sign_in_policy to gateway_app")
    op.execute(
        "grant select (provider_id, kind, authority, tenant, token_audience, disabled_at) on identity_provider"
        " to gateway_reader"
    )


def _people() -> None:
    op.execute("alter table user_account rename column platform_role to granted_platform_role")
    op.execute("""
        alter table user_account
            add mapped_platform_role text
                constraint ck_user_account_mapped_platform_role check (mapped_platform_role in ('admin', 'auditor')),
            add platform_role text generated always as (
                case when 'admin' in (granted_platform_role, mapped_platform_role) then 'admin'
                     else coalesce(granted_platform_role, mapped_platform_role) end) stored,
            add totp_sealed bytea,
            add totp_confirmed_at timestamptz,
            add totp_last_step bigint""")
    op.execute("alter table membership rename column role to granted_role")
    op.execute("alter table membership alter column granted_role drop not null")
    highest = " ".join(f"when '{role}' in (granted_role, mapped_role) then '{role}'" for role in ROLES)
    op.execute(f"""
        alter table membership
            add mapped_role text constraint ck_membership_mapped_role check (mapped_role in ({_listed(ROLES)})),
            add constraint ck_membership_some_role check (coalesce(granted_role, mapped_role) is not null),
            add role text generated always as (case {highest} end) stored""")
    op.execute("alter table membership drop constraint ck_membership_source")
    op.execute(
        "alter table membership add constraint ck_membership_source check (source in ('manual', 'invitation', 'mapping'))"
    )
    op.execute("""
        alter table console_session
            add method text not null default 'password'
                constraint ck_console_session_method check (method in ('password', 'sso')),
            add provider_id uuid
                constraint fk_console_session_provider_id_identity_provider references identity_provider,
            add sid text""")
    op.execute("create index ix_console_session_provider_id_sid on console_session (provider_id, sid)")
    op.execute("""
        create table identity (
            tenant text not null,
            subject text not null,
            provider_id uuid not null constraint fk_identity_provider_id_identity_provider references identity_provider,
            user_id uuid not null constraint fk_identity_user_id_user_account references user_account,
            email text,
            name text,
            app_roles text[] not null default '{}',
            groups text[] not null default '{}',
            created_at timestamptz not null default now(),
            last_sign_in_at timestamptz,
            constraint pk_identity primary key (tenant, subject)
        )""")
    op.execute("create index ix_identity_user_id on identity (user_id)")
    op.execute("grant select, insert, update, delete on identity to gateway_app")


def _provisioning() -> None:
    op.execute("""
        create table scim_token (
            token_id uuid constraint pk_scim_token primary key,
            provider_id uuid not null constraint fk_scim_token_provider_id_identity_provider references identity_provider,
            hash bytea not null constraint uq_scim_token_hash unique,
            last4 text not null,
            created_by uuid not null constraint fk_scim_token_created_by_user_account references user_account,
            created_at timestamptz not null default now(),
            last_used_at timestamptz,
            revoked_at timestamptz
        )""")
    op.execute("""
        create table scim_user (
            provider_id uuid not null constraint fk_scim_user_provider_id_identity_provider references identity_provider,
            user_id uuid not null constraint fk_scim_user_user_id_user_account references user_account,
            external_id text,
            user_name text not null,
            attributes jsonb not null default '{}',
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            deactivated_at timestamptz,
            deleted_at timestamptz,
            constraint pk_scim_user primary key (provider_id, user_id)
        )""")
    op.execute(
        "create unique index ix_scim_user_provider_id_user_name on scim_user (provider_id, lower(user_name))"
        " where deleted_at is null"
    )
    op.execute(
        "create unique index ix_scim_user_provider_id_external_id on scim_user (provider_id, external_id)"
        " where deleted_at is null"
    )
    op.execute("create index ix_scim_user_user_id on scim_user (user_id)")
    op.execute("""
        create table scim_group (
            group_id uuid constraint pk_scim_group primary key,
            provider_id uuid not null constraint fk_scim_group_provider_id_identity_provider references identity_provider,
            external_id text,
            display_name text not null,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        )""")
    op.execute(
        "create unique index ix_scim_group_provider_id_display_name on scim_group (provider_id, lower(display_name))"
    )
    op.execute("create index ix_scim_group_provider_id_external_id on scim_group (provider_id, external_id)")
    op.execute("""
        create table scim_group_member (
            group_id uuid not null constraint fk_scim_group_member_group_id_scim_group references scim_group on delete cascade,
            user_id uuid not null constraint fk_scim_group_member_user_id_user_account references user_account,
            constraint pk_scim_group_member primary key (group_id, user_id)
        )""")
    op.execute("create index ix_scim_group_member_user_id on scim_group_member (user_id)")
    op.execute(
        "grant select, insert, update, delete on scim_token, scim_user, scim_group, scim_group_member to gateway_app"
    )


def _mappings() -> None:
    op.execute(f"""
        create table role_mapping (
            workspace_id uuid not null constraint fk_role_mapping_workspace_id_workspace references workspace,
            mapping_id uuid not null,
            provider_id uuid not null constraint fk_role_mapping_provider_id_identity_provider references identity_provider,
            kind text not null constraint ck_role_mapping_kind check (kind in ('app_role', 'group')),
            value text not null,
            label text,
            role text not null,
            created_by uuid not null constraint fk_role_mapping_created_by_user_account references user_account,
            created_at timestamptz not null default now(),
            constraint pk_role_mapping primary key (workspace_id, mapping_id),
            constraint uq_role_mapping_workspace_id unique (workspace_id, provider_id, kind, value),
            constraint ck_role_mapping_role check (case when workspace_id = '{PLATFORM}' then role in ('admin', 'auditor')
                else role in ({_listed(ROLES)}) end)
        )""")
    op.execute("create index ix_role_mapping_provider_id on role_mapping (provider_id)")
    op.execute("alter table role_mapping enable row level security")
    op.execute("alter table role_mapping force row level security")
    for verb, clause in (("select", "using"), ("insert", "with check"), ("update", "using"), ("delete", "using")):
        name = "read" if verb == "select" else verb
        op.execute(
            f"create policy app_{name} on role_mapping for {verb} to gateway_app {clause} (workspace_id = {HERE})"
        )
    op.execute("grant select, insert, update, delete on role_mapping to gateway_app")
    op.execute("create policy reader on role_mapping for select to gateway_reader using (true)")
    op.execute("grant select on role_mapping to gateway_reader")


def _keys() -> None:
    """A key may belong to a person, and may be a token of an identity provider instead of a secret of ours."""
    op.execute("alter table api_key drop constraint ck_api_key_kind")
    op.execute("""
        alter table api_key
            add owner_id uuid constraint fk_api_key_owner_id_user_account references user_account (user_id),
            add suspended_at timestamptz,
            add token_provider_id uuid
                constraint fk_api_key_token_provider_id_identity_provider references identity_provider (provider_id),
            add token_tenant text,
            add token_claim text constraint ck_api_key_token_claim check (token_claim in ('app_role', 'client')),
            add token_value text,
            add constraint ck_api_key_kind check (kind in ('proxy', 'management', 'workload')),
            add constraint ck_api_key_token check (
                (kind = 'workload') = (num_nonnulls(token_provider_id, token_tenant, token_claim, token_value) = 4)
                and (kind = 'workload' or num_nonnulls(token_provider_id, token_tenant, token_claim, token_value) = 0))""")
    op.execute("create index ix_api_key_owner_id on api_key (owner_id) where owner_id is not null")
    # Whose token it is must be certain, whichever workspace asks.
    op.execute(
        "create unique index ix_api_key_token on api_key (token_provider_id, token_tenant, token_claim, token_value)"
        " where kind = 'workload' and state = 'active'"
    )
    op.execute("alter table workspace add networks cidr[] not null default '{}'")


def _reader_functions() -> None:
    op.execute("drop function keys_since(bigint)")
    more = """,
           w.networks::text[], p.kind, p.authority, p.token_audience, k.token_tenant, k.token_claim, k.token_value"""
    joined = """
    left join identity_provider p on p.provider_id = k.token_provider_id and p.disabled_at is null"""
    columns = f"""{KEY_COLUMNS}, networks text[],
        token_kind text, token_authority text, token_audience text, token_tenant text, token_claim text, token_value text"""
    body = KEYS_SINCE.format(
        alive="k.suspended_at is null and", pepper="'pepper', i.pepper_version,", more=more, joined=joined
    )
    _reader("keys_since(known bigint)", "bigint", columns, body)
    _reader(
        "role_mappings_of(provider uuid)",
        "uuid",
        "workspace_id uuid, mapping_id uuid, kind text, value text, role text",
        """select m.workspace_id, m.mapping_id, m.kind, m.value, m.role
           from role_mapping m where m.provider_id = provider""",
    )
    _reader(
        "memberships_of(person uuid)",
        "uuid",
        "workspace_id uuid, granted_role text, mapped_role text",
        "select workspace_id, granted_role, mapped_role from membership where user_id = person",
    )
    _reader(
        "keys_owned_by(person uuid)",
        "uuid",
        "workspace_id uuid, key_id uuid",
        "select workspace_id, key_id from api_key where owner_id = person",
    )
    _reader(
        "workload_keys_of(provider uuid)",
        "uuid",
        "workspace_id uuid, key_id uuid",
        "select workspace_id, key_id from api_key where token_provider_id = provider",
    )


def _reader(signature: str, types: str, columns: str, body: str) -> None:
    """Make a function that reads across workspaces; nobody but the app may call it."""
    name = f"{signature.partition('(')[0]}({types})"
    op.execute(
        f"create function {signature} returns table ({columns})"
        f" language sql stable security definer set search_path = public as $$ {body} $$"
    )
    op.execute("grant create on schema public to gateway_reader")
    op.execute(f"alter function {name} owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute(f"revoke all on function {name} from public")
    op.execute(f"grant execute on function {name} to gateway_app")


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)
