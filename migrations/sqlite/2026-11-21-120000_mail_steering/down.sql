DROP TABLE switches;
DROP TABLE suppressions;
CREATE INDEX outbox_ready ON outbox (next_attempt_at) WHERE status = 'ready';
DROP INDEX outbox_folded;
DROP INDEX outbox_dead;
DROP INDEX outbox_expiring;
DROP INDEX outbox_due;
ALTER TABLE outbox DROP COLUMN fold;
