"""People: who belongs to which workspace, who is invited, who is signed in, and who tried.

Memberships and invitations are a tenant's rows. Sessions and sign-in attempts are the platform's,
like the accounts they belong to; they hold hashes, never a cookie or an address in clear.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLES = "'owner', 'admin', 'developer', 'billing', 'viewer'"
HERE = "nullif(current_setting('app.workspace_id', true), '')::uuid"


def upgrade() -> None:
    """Make the four tables, close them, and open the one way to read across workspaces."""
    _tenant_tables()
    _platform_tables()
    _policies()
    _workspaces_of()


def downgrade() -> None:
    """Drop what `upgrade` made."""
    op.execute("drop function workspaces_of(uuid)")
    for table in ("sign_in_attempt", "console_session", "invitation", "membership"):
        op.execute(f"drop table {table}")


def _tenant_tables() -> None:
    op.execute(f"""
        create table membership (
            workspace_id uuid not null constraint fk_membership_workspace_id_workspace references workspace,
            user_id uuid not null constraint fk_membership_user_id_user_account references user_account,
            role text not null constraint ck_membership_role check (role in ({ROLES})),
            source text not null default 'manual' constraint ck_membership_source check (source in ('manual', 'invitation')),
            created_at timestamptz not null default now(),
            constraint pk_membership primary key (workspace_id, user_id)
        )""")
    op.execute("create index ix_membership_user_id on membership (user_id)")
    op.execute(f"""
        create table invitation (
            workspace_id uuid not null constraint fk_invitation_workspace_id_workspace references workspace,
            invitation_id uuid not null,
            email text not null constraint ck_invitation_email check (email = lower(email)),
            role text not null constraint ck_invitation_role check (role in ({ROLES})),
            token_hash bytea not null,
            created_by uuid not null constraint fk_invitation_created_by_user_account references user_account,
            created_at timestamptz not null default now(),
            expires_at timestamptz not null,
            accepted_at timestamptz,
            constraint pk_invitation primary key (workspace_id, invitation_id)
        )""")
    op.execute(
        "create unique index ix_invitation_workspace_id_email on invitation (workspace_id, email)"
        " where accepted_at is null"
    )


def _platform_tables() -> None:
    op.execute("""
        create table console_session (
            id_hash bytea constraint pk_console_session primary key,
            user_id uuid not null constraint fk_console_session_user_id_user_account references user_account,
            created_at timestamptz not null,
            last_seen_at timestamptz not null,
            expires_at timestamptz not null,
            ip text not null,
            user_agent text not null
        )""")
    op.execute("create index ix_console_session_user_id on console_session (user_id)")
    op.execute("create index ix_console_session_expires_at on console_session (expires_at)")
    op.execute("""
        create table sign_in_attempt (
            attempt_id uuid constraint pk_sign_in_attempt primary key,
            address_hash bytea not null,
            ip text not null,
            at timestamptz not null,
            succeeded boolean not null default false
        )""")
    op.execute("create index ix_sign_in_attempt_address_hash_at on sign_in_attempt (address_hash, at)")
    op.execute("create index ix_sign_in_attempt_ip_at on sign_in_attempt (ip, at)")
    op.execute("create index ix_sign_in_attempt_at on sign_in_attempt (at)")
    # An address in two letter cases would be two people.
    op.execute("alter table user_account add constraint ck_user_account_email check (email = lower(email))")


def _policies() -> None:
    for table in ("membership", "invitation"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        for verb, clause in (("select", "using"), ("insert", "with check"), ("update", "using"), ("delete", "using")):
            name = "read" if verb == "select" else verb
            op.execute(
                f"create policy app_{name} on {table} for {verb} to gateway_app {clause} (workspace_id = {HERE})"
            )
        op.execute(f"grant select, insert, update, delete on {table} to gateway_app")
    op.execute("create policy reader on membership for select to gateway_reader using (true)")
    op.execute("grant select on membership to gateway_reader")
    op.execute("grant select, insert, update, delete on console_session, sign_in_attempt to gateway_app")


def _workspaces_of() -> None:
    """A person chooses among workspaces before any of them is the transaction's."""
    op.execute("""
        create function workspaces_of(person uuid) returns table (
            workspace_id uuid, name text, timezone text, managed_by text, archived_at timestamptz, role text)
        language sql stable security definer set search_path = public as $$
            select w.workspace_id, w.name, w.timezone, w.managed_by, w.archived_at, m.role
            from membership m join workspace w on w.workspace_id = m.workspace_id
            where m.user_id = person
        $$""")
    op.execute("grant create on schema public to gateway_reader")
    op.execute("alter function workspaces_of(uuid) owner to gateway_reader")
    op.execute("revoke create on schema public from gateway_reader")
    op.execute("revoke all on function workspaces_of(uuid) from public")
    op.execute("grant execute on function workspaces_of(uuid) to gateway_app")
