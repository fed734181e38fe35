-- Nothing has to hold before this statement.
with ready as (
    select
)
