UPDATE recoup.customers SET email = NULL, name = NULL WHERE id IN (SELECT id FROM theirs);
