DROP TRIGGER audit_keeps_all ON audit;
DROP TRIGGER audit_keeps ON audit;
DROP FUNCTION audit_keeps();
CREATE INDEX audit_by_subject ON audit (subject, at);
DROP INDEX audit_of_action;
DROP INDEX audit_of_subject;
DROP INDEX audit_of_actor;
ALTER TABLE audit DROP COLUMN times;
