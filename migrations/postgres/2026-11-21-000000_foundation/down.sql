DROP TABLE audit;
DROP TABLE outbox;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE guess_budgets;
DROP TABLE challenges;
DROP TABLE users;
