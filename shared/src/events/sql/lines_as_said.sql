-- Makes lines that are here already say what Stripe says of them; one that is not here is not made. What a line grants stays.
-- $1 order, $2 price_id, $3 product_id, $4 quantity, $5 amount_total: a line each, in their order.
update recoup.order_items as kept
set
    price_id = coalesce(said.price_id, kept.price_id),
    product_id = coalesce(said.product_id, kept.product_id),
    quantity = said.quantity,
    amount_total = coalesce(said.amount_total, kept.amount_total)
from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) with ordinality
    as said (price_id, product_id, quantity, amount_total, position)
where kept.order_id = $1
    and kept.position = said.position
    and (
        said.price_id <> coalesce(kept.price_id, '')
        or said.product_id <> coalesce(kept.product_id, '')
        or said.quantity <> kept.quantity
        or said.amount_total is distinct from kept.amount_total and said.amount_total is not null
    )
