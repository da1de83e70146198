DROP TRIGGER audit_keeps_lines;
DROP TRIGGER audit_keeps_text;
CREATE INDEX audit_by_subject ON audit (subject, at);
DROP INDEX audit_of_action;
DROP INDEX audit_of_subject;
DROP INDEX audit_of_actor;
ALTER TABLE audit DROP COLUMN times;
