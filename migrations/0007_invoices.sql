-- One row an invoice.
create table recoup.invoices (
    id                   text        not null,
    account              text,
    customer_id          text,
    subscription_id      text,
    -- Before 2025 an invoice names its payment; since then `invoice_payments` does.
    payment_id           text,
    status               text        not null,
    number               text,
    billing_reason       text,
    collection_method    text,
    currency             text        not null,
    amount_due           bigint      not null,
    amount_paid          bigint      not null,
    total                bigint      not null,
    attempt_count        bigint      not null,
    next_payment_attempt timestamptz,
    due_at               timestamptz,
    finalized_at         timestamptz,
    paid_at              timestamptz,
    -- As the invoice said it until 2025; null since then.
    paid_out_of_band     boolean,
    -- When Stripe says that it collected the money (`invoice.payment_succeeded`). A paid invoice without it was
    -- marked as paid: its money never passed through Stripe.
    collected_at         timestamptz,
    -- Stripe shows no more than the first lines of a long invoice.
    lines_complete       boolean     not null,
    created_at           timestamptz not null,
    event_id             text        not null,
    event_created        timestamptz not null,
    event_rank           bigint      not null,
    needs_refetch        boolean     not null default false,
    constraint invoices_key primary key (id),
    constraint invoices_status check (
        status in ('draft', 'open', 'paid', 'uncollectible', 'void', 'deleted')
    )
);

create index invoices_needs_refetch on recoup.invoices (id) where needs_refetch;

create index invoices_customer_id on recoup.invoices (customer_id);

-- The lines as the event that last wrote the invoice shows them.
create table recoup.invoice_lines (
    invoice_id      text        not null,
    position        integer     not null,
    id              text        not null,
    subscription_id text,
    price_id        text,
    product_id      text,
    quantity        bigint,
    -- Below zero where unused time is credited.
    amount          bigint      not null,
    period_start    timestamptz not null,
    period_end      timestamptz not null,
    constraint invoice_lines_key primary key (invoice_id, position),
    constraint invoice_lines_invoice foreign key (invoice_id) references recoup.invoices (id)
);

create index invoice_lines_subscription_id on recoup.invoice_lines (subscription_id);

-- What pays an invoice: since 2025 there can be several.
create table recoup.invoice_payments (
    id            text        not null,
    account       text,
    invoice_id    text        not null,
    payment_id    text,
    charge_id     text,
    status        text        not null,
    amount_paid   bigint,
    currency      text        not null,
    paid_at       timestamptz,
    created_at    timestamptz not null,
    event_id      text        not null,
    event_created timestamptz not null,
    event_rank    bigint      not null,
    constraint invoice_payments_key primary key (id)
);

create index invoice_payments_invoice_id on recoup.invoice_payments (invoice_id);

alter table recoup.catalog_items
    drop constraint catalog_items_grant,
    add constraint catalog_items_grant check (
        (grants_kind is null and grants_ref is null and grants_quantity is null)
        or (
            grants_kind in ('course', 'path', 'coaching', 'ticket', 'credits', 'plan')
            and grants_ref is not null
            and grants_quantity > 0
        )
    );

-- What a paid invoice grants: for each line whose price or product is a plan, that plan for the line's period.
-- It is worked out when it is read, so that it needs no event of its own and no order.
create view recoup.plan_grants as
select
    invoice.customer_id,
    catalog.grants_ref as plan,
    coalesce(line.quantity, 1) * catalog.grants_quantity as quantity,
    line.subscription_id,
    line.invoice_id,
    line.position,
    line.period_start as starts_at,
    -- A subscription that ended grants no longer; nor does time that was credited when it changed.
    least(line.period_end, subscription.ended_at, credited.since) as ends_at,
    case when returned.amount > 0 and returned.amount >= invoice.amount_paid then returned.at end as revoked_at
from recoup.invoices as invoice
join recoup.invoice_lines as line on line.invoice_id = invoice.id and line.amount >= 0
join lateral (
    select item.grants_kind, item.grants_ref, item.grants_quantity
    from recoup.catalog_items as item
    where item.id in (line.price_id, line.product_id) and item.grants_kind is not null
    order by item.object = 'price' desc
    limit 1
) as catalog on catalog.grants_kind = 'plan'
left join recoup.subscriptions as subscription on subscription.id = line.subscription_id
left join lateral (
    select min(credit.period_start) as since
    from recoup.invoice_lines as credit
    join recoup.invoices as credited_on on credited_on.id = credit.invoice_id
    where credit.subscription_id = line.subscription_id
        and credit.price_id = line.price_id
        and credit.amount < 0
        and credit.period_start > line.period_start
        and credit.period_start < line.period_end
        and credited_on.status in ('open', 'paid', 'uncollectible')
) as credited on true
left join lateral (
    select sum(payment.amount_returned) as amount, max(payment.returned_at) as at
    from recoup.payments as payment
    where payment.id = invoice.payment_id
        or payment.id in (
            select paid.payment_id
            from recoup.invoice_payments as paid
            where paid.invoice_id = invoice.id and paid.status = 'paid'
        )
) as returned on true
where invoice.status = 'paid' and invoice.customer_id is not null;

-- Who has which plan now.
create view recoup.active_plans as
select customer_id, plan, sum(quantity)::bigint as quantity, max(ends_at) as ends_at
from recoup.plan_grants
where revoked_at is null and starts_at <= now() and ends_at > now()
group by customer_id, plan;
