-- Expands: the audit trail counts what it tells of together, is listed in more ways, and cannot be changed. One index gives
-- way to a better one, which no older version misses.

-- How often it happened, up to this line and since the one before: failed sign-ins come in floods, and are told together.
ALTER TABLE audit ADD COLUMN times integer NOT NULL DEFAULT 1;

-- Ids grow with time, so each of these gives its lines newest first.
CREATE INDEX audit_of_actor ON audit (actor, id) WHERE actor IS NOT NULL;
CREATE INDEX audit_of_subject ON audit (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX audit_of_action ON audit (action, id);
DROP INDEX audit_by_subject;

-- What is written stays as it is. What is older than the least that can be set for keeping it may go.
CREATE TRIGGER audit_keeps_text BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER audit_keeps_lines BEFORE DELETE ON audit
WHEN coalesce(julianday(OLD.at), julianday('now')) > julianday('now') - 30 BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
