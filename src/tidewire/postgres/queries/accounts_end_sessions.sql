-- Ends sessions of a user: one, all, or all but one.
delete from auth.sessions as s
where
  s.user_id = %(user_id)s::uuid
  and case %(scope)s::text
    when 'global' then true
    when 'others' then s.id is distinct from %(id)s::uuid
    else s.id = %(id)s::uuid
  end
