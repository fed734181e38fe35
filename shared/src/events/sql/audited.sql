-- What Stripe did not bring by itself is a repair, and every repair is audited.
, audited as (
    insert into recoup.audit_log (actor, action, subject, reason, after)
    select
        $8, 'apply event', 'event ' || event_id, 'it was missing here or had failed',
        jsonb_build_object('type', $2::text, 'created', event_created)
    from event
    where $8 not in ('webhook', 'eventbridge')
)
