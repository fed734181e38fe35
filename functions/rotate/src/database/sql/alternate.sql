-- The role of this name, and whether it is one of ours: a member of the role whose place it takes.
select exists (
    select
    from pg_catalog.pg_auth_members as membership
    join pg_catalog.pg_roles as base on base.oid = membership.roleid
    where membership.member = alternate.oid and base.rolname = $2
) as is_member
from pg_catalog.pg_roles as alternate
where alternate.rolname = $1
