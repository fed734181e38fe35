UPDATE recoup.webhook_events SET payload = json_build_object('id', id, 'type', type, 'erased', true)
WHERE EXISTS (SELECT FROM string_to_table(payload, '"') AS word JOIN theirs ON theirs.id = word);
UPDATE recoup.webhook_events SET payload_raw = 'erased'
WHERE EXISTS (SELECT FROM string_to_table(encode(payload_raw, 'escape'), '"') AS word JOIN theirs ON theirs.id = word);
