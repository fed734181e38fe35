-- What paid items grant. Expects `granted`: order_id, position, customer_id, kind, ref, quantity, granted_at and
-- revoked_at (set where the whole order was refunded already).
--
-- A course may have been bought before: then the enrollment belongs to the better grant, one that was not taken
-- back before one that was, the earlier before the later. The row is written either way, so that a refund that
-- runs at the same time cannot miss this grant.
, enrollment as (
    insert into recoup.enrollments as kept (customer_id, course, order_id, position, granted_at, revoked_at)
    select distinct on (granted.customer_id, course)
        granted.customer_id, course, granted.order_id, granted.position, granted.granted_at, granted.revoked_at
    from granted
    cross join lateral regexp_split_to_table(granted.ref, '\s*,\s*') as course
    where granted.kind in ('course', 'path')
    order by
        granted.customer_id, course, granted.revoked_at is not null, granted.granted_at, granted.order_id, granted.position
    on conflict on constraint enrollments_customer_course_key do update set
        (order_id, position, granted_at, revoked_at) = (
            select better.order_id, better.position, better.granted_at, better.revoked_at
            from (
                values
                    (kept.order_id, kept.position, kept.granted_at, kept.revoked_at),
                    (excluded.order_id, excluded.position, excluded.granted_at, excluded.revoked_at)
            ) as better (order_id, position, granted_at, revoked_at)
            order by better.revoked_at is not null, better.granted_at, better.order_id, better.position
            limit 1
        )
)
, ticket as (
    insert into recoup.tickets (order_id, position, seat, customer_id, admits_to, granted_at, revoked_at)
    select order_id, position, seat, customer_id, ref, granted_at, revoked_at
    from granted
    -- One seat past the bound is enough for the constraint to refuse the line.
    cross join lateral generate_series(1, least(quantity, 10001)) as seat
    where kind = 'ticket'
    on conflict on constraint tickets_seat_key do nothing
)
, coaching as (
    insert into recoup.coaching_sessions (order_id, position, session, customer_id, coaching, granted_at, revoked_at)
    select order_id, position, session, customer_id, ref, granted_at, revoked_at
    from granted
    -- As with seats.
    cross join lateral generate_series(1, least(quantity, 1001)) as session
    where kind = 'coaching'
    on conflict on constraint coaching_sessions_key do nothing
)
, credit as (
    insert into recoup.credit_entries
        (id, customer_id, amount, reason, order_id, position, granted_at, revoked_at)
    select
        'order:' || order_id || ':' || position, customer_id, quantity, 'bought: ' || ref, order_id, position,
        granted_at, revoked_at
    from granted
    where kind = 'credits'
    on conflict on constraint credit_entries_key do nothing
)
