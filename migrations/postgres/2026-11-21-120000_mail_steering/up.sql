-- Expands: what steers the mail. One index of the outbox gives way to better ones, which no older version misses.

-- Mails with the same text here say the same thing to the same person, so that further ones can wait and be told together.
ALTER TABLE outbox ADD COLUMN fold text;

-- What is due, in the order in which it is sent, and what is too late.
CREATE INDEX outbox_due ON outbox (priority, next_attempt_at) WHERE status = 'ready';
CREATE INDEX outbox_expiring ON outbox (expires_at) WHERE status = 'ready';
CREATE INDEX outbox_dead ON outbox (id) WHERE status = 'dead';
CREATE INDEX outbox_folded ON outbox (fold, created_at) WHERE fold IS NOT NULL;
DROP INDEX outbox_ready;

-- Mailboxes that get no mail for a while: theirs came back, or somebody complained.
CREATE TABLE suppressions (
    email_key text PRIMARY KEY,
    email text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('bounce', 'complaint', 'manual')),
    detail text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    until timestamptz NOT NULL
);
CREATE INDEX suppressions_by_end ON suppressions (until);

-- What an operator has switched, for every instance: a row that is not there is off.
CREATE TABLE switches (
    name text PRIMARY KEY,
    is_on boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by uuid
);
