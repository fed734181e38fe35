-- A dispute is of a charge that is known.
select 'disputes' as object, dispute.id
from recoup.disputes as dispute
where dispute.event_created < $1
    and not exists (select from recoup.charges as charge where charge.id = dispute.charge_id)
