select exists (select from event) as recorded
