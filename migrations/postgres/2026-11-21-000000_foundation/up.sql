-- Expands: the first tables. Nothing is contracted.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    email_key text NOT NULL UNIQUE,
    abuse_key text NOT NULL,
    name text NOT NULL DEFAULT '',
    username text UNIQUE,
    phone text UNIQUE,
    avatar_url text,
    locale text NOT NULL DEFAULT 'en',
    role text NOT NULL CHECK (role IN ('user', 'admin')),
    status text NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'banned')),
    note text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    device text NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_sign_in_at timestamptz,
    password_hash text
);
CREATE INDEX users_by_status ON users (status, created_at, id);
CREATE INDEX users_by_change ON users (updated_at);
CREATE INDEX users_admins ON users (id) WHERE role = 'admin';

-- The code and the link of a challenge are derived from its id and a key; neither is here.
CREATE TABLE challenges (
    id uuid PRIMARY KEY,
    key_id text NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    name text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT 'en',
    next text,
    flow_digest bytea,
    address text NOT NULL,
    device text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz
);
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

-- Failed guesses per subject, over all of its challenges.
CREATE TABLE guess_budgets (
    subject text PRIMARY KEY,
    failures integer NOT NULL,
    window_started_at timestamptz NOT NULL
);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_digest bytea UNIQUE,
    method text NOT NULL,
    address text NOT NULL,
    device text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_change ON sessions (updated_at);

CREATE TABLE refresh_tokens (
    digest bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at timestamptz NOT NULL,
    replaced_at timestamptz
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    recipient text NOT NULL,
    locale text NOT NULL,
    content text NOT NULL,
    challenge_id uuid,
    priority smallint NOT NULL,
    status text NOT NULL CHECK (status IN ('ready', 'sending', 'sent', 'expired', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    message_id text NOT NULL,
    created_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    queued_until timestamptz NOT NULL,
    lease_until timestamptz,
    expires_at timestamptz NOT NULL,
    finished_at timestamptz,
    last_error text
);
CREATE INDEX outbox_ready ON outbox (next_attempt_at) WHERE status = 'ready';
CREATE INDEX outbox_leased ON outbox (lease_until) WHERE status = 'sending';
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    action text NOT NULL,
    actor uuid,
    subject uuid,
    address text NOT NULL,
    device text NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_subject ON audit (subject, at);
