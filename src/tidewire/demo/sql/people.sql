-- Purpose: those whose windows can be opened.
select u.id::text, u.handle, u.name, u.kind, u.tenant, t.name as tenant_name
from tidewire_demo.users u
join tidewire_demo.tenants t on t.id = u.tenant
where u.handle is not null
order by u.handle
