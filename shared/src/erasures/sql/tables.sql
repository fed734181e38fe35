-- Which of the tables that an erasure writes, or asks, this database has: a copy may be of a part, or of an older version.
select
    to_regclass('recoup.customers') is not null                                       as customers,
    exists (
        select from pg_catalog.pg_attribute
        where attrelid = to_regclass('recoup.customers') and attname = 'erased_at' and not attisdropped
    )                                                                                 as customers_erased_at,
    to_regclass('recoup.webhook_events') is not null                                  as events,
    to_regclass('recoup.audit_log') is not null                                       as audit_log,
    to_regclass('recoup.erasures') is not null                                        as erasures,
    to_regclass('recoup.row_changes') is not null                                     as row_changes,
    (
        select bool_and(to_regclass('recoup.' || name) is not null)
        from unnest(array[
            'orders', 'invoices', 'invoice_payments', 'payments', 'payment_orders', 'charges', 'subscriptions', 'refunds',
            'disputes'
        ]) as name
    )                                                                                 as objects
