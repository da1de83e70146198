ALTER TABLE guess_budgets DROP COLUMN guessed_at_ms;
