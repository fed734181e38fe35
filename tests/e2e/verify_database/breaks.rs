//! Rows broken by hand, one at a time, with the constraints dropped that protect them.

/// What is done by hand, to which row, and what finds it as what.
pub struct Break {
    /// The one rule that must find it.
    pub invariant: &'static str,
    /// The key of the row to break, by itself or as the first column.
    pub row: &'static str,
    /// `$row` stands for that key.
    pub sql: &'static str,
    /// The table of the finding.
    pub object: &'static str,
    /// Its id; `$row` again.
    pub id: &'static str,
}

const fn broken(
    invariant: &'static str,
    row: &'static str,
    sql: &'static str,
    object: &'static str,
    id: &'static str,
) -> Break {
    Break { invariant, row, sql, object, id }
}

/// An order that was paid and not given back, with a line of a kind.
const PAID_COURSE: &str =
    "select i.order_id from recoup.order_items i join recoup.orders o on o.id = i.order_id
    join recoup.payments p on p.id = o.payment_id where o.status = 'paid' and p.amount_returned = 0
    and i.grants_kind = 'course' and i.position = 1 order by 1 limit 1";
const PAID_TICKET: &str = "select i.order_id from recoup.order_items i join recoup.orders o on o.id = i.order_id
    join recoup.payments p on p.id = o.payment_id where o.status = 'paid' and p.amount_returned = 0
    and i.grants_kind = 'ticket' and i.position = 1 and i.quantity * i.grants_quantity > 1 order by 1 limit 1";
const PAID_CREDITS: &str =
    "select i.order_id from recoup.order_items i join recoup.orders o on o.id = i.order_id
    join recoup.payments p on p.id = o.payment_id where o.status = 'paid' and p.amount_returned = 0
    and i.grants_kind = 'credits' and i.position = 1 order by 1 limit 1";
const PAID: &str = "select o.id from recoup.orders o join recoup.payments p on p.id = o.payment_id
    where o.status = 'paid' and o.id <> 'cs_1' and p.amount_returned = 0 order by 1 limit 1";
const PAYMENT: &str = "select p.id from recoup.orders o join recoup.payments p on p.id = o.payment_id
    where o.status = 'paid' and o.id <> 'cs_1' and p.amount_returned = 0 order by 1 limit 1";
const CHARGE: &str = "select c.id from recoup.charges c join recoup.payments p on p.id = c.payment_id
    where c.status = 'succeeded' and p.amount_returned = 0
        and not exists (select from recoup.payment_orders o where o.id = p.id and o.order_id = 'cs_1') order by 1 limit 1";
const REFUND: &str = "select id from recoup.refunds where status = 'failed' order by 1 limit 1";
const NOTHING: &str = "select ''";

/// Every way in which rows are broken.
pub const BREAKS: &[Break] = &[
    broken(
        "orphans",
        NOTHING,
        "alter table recoup.order_items drop constraint order_items_order;
         insert into recoup.order_items (order_id, position, quantity, grants_kind) values ('cs_gone', 1, 1, 'x')",
        "order_items",
        "cs_gone line 1",
    ),
    broken(
        "orphans",
        NOTHING,
        "alter table recoup.tickets drop constraint tickets_item;
         insert into recoup.tickets (order_id, position, seat, customer_id, admits_to, granted_at)
         select 'cs_gone', 1, 1, id, 'x', now() from recoup.customers limit 1",
        "tickets",
        "cs_gone line 1 seat 1",
    ),
    broken(
        "orphans",
        NOTHING,
        "insert into recoup.charges (id, payment_id, status, amount, amount_captured, amount_refunded, currency, created_at,
             event_id, event_created, event_rank)
         values ('ch_gone', 'pi_gone', 'failed', 1, 0, 0, 'eur', now(), 'evt_1', now(), 0)",
        "charges",
        "ch_gone",
    ),
    broken(
        "orphans",
        NOTHING,
        "insert into recoup.orders (id, payment_id, status, mode, currency, created_at, event_id, event_created, event_rank)
         values ('cs_gone', 'pi_gone', 'expired', 'payment', 'eur', now(), 'evt_1', now(), 0)",
        "orders",
        "cs_gone",
    ),
    broken(
        "orphans",
        NOTHING,
        "insert into recoup.payment_orders (id, order_id) values ('pi_gone', 'cs_gone')",
        "payment_orders",
        "pi_gone",
    ),
    broken(
        "orphans",
        NOTHING,
        "insert into recoup.ledger_entries values ('ch_gone', 'charge', null, 'stripe_balance', 'sales', 1, 'eur', now())",
        "ledger_entries",
        "ch_gone charge",
    ),
    broken(
        "order_totals",
        PAID_COURSE,
        "update recoup.order_items set amount_total = amount_total + 1 where order_id = '$row' and position = 1",
        "orders",
        "$row",
    ),
    broken(
        "orders_paid",
        PAID,
        "update recoup.payments set status = 'requires_payment_method'
         where id = (select payment_id from recoup.orders where id = '$row')",
        "orders",
        "$row",
    ),
    broken(
        "payments_charged",
        PAYMENT,
        "delete from recoup.ledger_entries where source_id in (select id from recoup.charges where payment_id = '$row');
         delete from recoup.charges where payment_id = '$row'",
        "payments",
        "$row",
    ),
    broken(
        "grants_missing",
        PAID_COURSE,
        "update recoup.order_items set grants_ref = 'never-granted' where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_missing",
        PAID_TICKET,
        "update recoup.tickets set revoked_at = now() where order_id = '$row' and position = 1 and seat = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_missing",
        PAID_CREDITS,
        "delete from recoup.credit_entries where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_missing",
        NOTHING,
        "delete from recoup.coaching_sessions where order_id = 'cs_1'",
        "order_items",
        "cs_1 line 2",
    ),
    broken(
        "grants_missing",
        PAID_COURSE,
        "update recoup.order_items set grants_kind = 'plan', grants_ref = 'pro' where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_kept",
        "select id from recoup.credit_entries where order_id is not null and revoked_at is not null order by 1 limit 1",
        "update recoup.credit_entries set revoked_at = null where id = '$row'",
        "credit_entries",
        "$row",
    ),
    broken(
        "grants_quantity",
        PAID_TICKET,
        "delete from recoup.tickets where order_id = '$row' and position = 1 and seat = 2",
        "order_items",
        "$row line 1",
    ),
    broken(
        "grants_quantity",
        NOTHING,
        "insert into recoup.coaching_sessions select order_id, position, 4, customer_id, coaching, granted_at
         from recoup.coaching_sessions where order_id = 'cs_1'",
        "order_items",
        "cs_1 line 2",
    ),
    broken(
        "grants_quantity",
        PAID_CREDITS,
        "update recoup.credit_entries set amount = amount + 1 where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "ledger_balanced",
        NOTHING,
        "alter table recoup.ledger_entries drop constraint ledger_entries_moves;
         insert into recoup.ledger_entries values ('txn_1', 'dispute_fee', null, 'fees', 'fees', 1, 'eur', now())",
        "ledger_entries",
        "txn_1 dispute_fee",
    ),
    broken(
        "ledger_posted",
        CHARGE,
        "update recoup.ledger_entries set amount = amount - 1 where source_id = '$row'",
        "charges",
        "$row",
    ),
    broken(
        "ledger_posted",
        REFUND,
        "delete from recoup.ledger_entries where source_id = '$row' and kind = 'refund_failure'",
        "refunds",
        "$row",
    ),
    broken(
        "refunds_within_payments",
        PAYMENT,
        "insert into recoup.refunds select 're_too_much', account, null, id, 'succeeded', amount_received + 1, currency,
            null, null, now(), event_id, event_created, 0 from recoup.payments where id = '$row';
         insert into recoup.ledger_entries select id, 'refund', null, 'refunds', 'stripe_balance', amount, currency, now()
            from recoup.refunds where id = 're_too_much'",
        "payments",
        "$row",
    ),
    broken(
        "disputes_charged",
        "select id from recoup.disputes order by 1 limit 1",
        "update recoup.disputes set charge_id = 'ch_gone' where id = '$row'",
        "disputes",
        "$row",
    ),
    broken(
        "duplicates",
        PAYMENT,
        "insert into recoup.orders select 'cs_twice', account, customer_id, payment_id, 'pending', mode, currency,
            amount_subtotal, amount_total, client_reference_id, created_at, null, event_id, event_created, event_rank
         from recoup.orders where payment_id = '$row'",
        "payments",
        "$row",
    ),
    broken(
        "duplicates",
        "select customer_id || ' ' || course from recoup.enrollments where revoked_at is null order by 1 limit 1",
        "alter table recoup.enrollments drop constraint enrollments_customer_course_key;
         insert into recoup.enrollments select * from recoup.enrollments where customer_id || ' ' || course = '$row'",
        "enrollments",
        "$row",
    ),
    broken(
        "credit_shortfalls",
        "select customer_id from recoup.credit_entries order by 1 limit 1",
        "insert into recoup.credit_entries values ('spent', '$row', -1000000, 'spent', null, null, now(), null)",
        "customers",
        "$row",
    ),
    broken(
        "catalog_gaps",
        PAID_COURSE,
        "update recoup.order_items set grants_kind = null where order_id = '$row' and position = 1",
        "order_items",
        "$row line 1",
    ),
    broken(
        "catalog_gaps",
        NOTHING,
        "insert into recoup.orders select 'cs_empty', account, customer_id, null, 'paid', 'payment', currency, 0, 0, null,
            created_at, created_at, event_id, event_created, event_rank from recoup.orders where status = 'paid' limit 1",
        "orders",
        "cs_empty",
    ),
    broken(
        "events_settled",
        "select id from recoup.webhook_events order by 1 limit 1",
        "update recoup.webhook_events set status = 'dead' where id = '$row'",
        "webhook_events",
        "$row",
    ),
];
