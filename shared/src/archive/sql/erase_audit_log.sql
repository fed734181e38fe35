UPDATE recoup.audit_log SET before = NULL, after = NULL
WHERE EXISTS (
    SELECT FROM string_to_table(concat_ws('"', before::text, after::text), '"') AS word JOIN theirs ON theirs.id = word
);
