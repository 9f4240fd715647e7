-- Deletes a user with everything that belongs to it; whether there was one.
delete from auth.users as u where u.id = %(id)s::uuid returning u.id
