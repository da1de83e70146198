-- Expands: when the last guess was counted. An older version leaves it as it is, and asks for no pause.

-- Milliseconds since 1970: a number, so that both databases reckon with it in the same words.
ALTER TABLE guess_budgets ADD COLUMN guessed_at_ms bigint NOT NULL DEFAULT 0;
