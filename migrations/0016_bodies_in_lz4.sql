-- Postgres compresses an event's body while the event is written. Its own method takes as long over it as all the
-- rest of the insert; lz4 takes a fifth of that. A server that was built without lz4 keeps its own.
do $$
begin
    alter table recoup.webhook_events alter column payload set compression lz4;
exception
    when feature_not_supported then
        raise notice 'this server was built without lz4: bodies are compressed by pglz';
end
$$;
