-- Who is logged in, as whom that one works, and for whom it stands in where it is the second of two users.
select
    session_user::text as login,
    current_user::text as role,
    (
        select base.rolname::text
        from pg_catalog.pg_roles as self
        join pg_catalog.pg_auth_members as membership on membership.member = self.oid
        join pg_catalog.pg_roles as base on base.oid = membership.roleid
        where self.rolname = session_user and self.rolname = base.rolname || '_alternate'
    ) as alternate_of
