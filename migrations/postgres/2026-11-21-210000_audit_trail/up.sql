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
CREATE FUNCTION audit_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at <= now() - interval '30 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_keeps BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keeps();
CREATE TRIGGER audit_keeps_all BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_keeps();
