-- Purpose: who may see and write what in the demo. Every condition for reading is one that Tidewire compiles: it compares
-- columns with claims of the token, so that a change finds its readers without asking the database.

grant usage on schema tidewire_demo to authenticated;
grant select on all tables in schema tidewire_demo to authenticated;
grant insert (professional_id, starts_at, clicked_at) on tidewire_demo.bookings to authenticated;
grant update (status, clicked_at) on tidewire_demo.bookings to authenticated;

alter table tidewire_demo.tenants enable row level security;
alter table tidewire_demo.users enable row level security;
alter table tidewire_demo.professionals enable row level security;
alter table tidewire_demo.bookings enable row level security;
alter table tidewire_demo.reviews enable row level security;
alter table tidewire_demo.disputes enable row level security;
alter table tidewire_demo.notifications enable row level security;

-- Nothing crosses from one tenant to the other, whatever else is allowed.
create policy own_tenant on tidewire_demo.users as restrictive to authenticated
  using (tenant = (select auth.jwt() -> 'app_metadata' ->> 'tenant'));
create policy own_tenant on tidewire_demo.bookings as restrictive to authenticated
  using (tenant = (select auth.jwt() -> 'app_metadata' ->> 'tenant'));
create policy own_tenant on tidewire_demo.disputes as restrictive to authenticated
  using (tenant = (select auth.jwt() -> 'app_metadata' ->> 'tenant'));

create policy own on tidewire_demo.tenants for select to authenticated
  using (id = (select auth.jwt() -> 'app_metadata' ->> 'tenant'));
create policy everybody_of_the_tenant on tidewire_demo.professionals for select to authenticated
  using (tenant = (select auth.jwt() -> 'app_metadata' ->> 'tenant'));
create policy everybody_of_the_tenant on tidewire_demo.reviews for select to authenticated
  using (tenant = (select auth.jwt() -> 'app_metadata' ->> 'tenant'));

create policy oneself on tidewire_demo.users for select to authenticated
  using (id = (select auth.uid()));
create policy the_desk on tidewire_demo.users for select to authenticated
  using ((select auth.jwt() -> 'app_metadata' ->> 'kind') = 'desk');

create policy both_sides on tidewire_demo.bookings for select to authenticated
  using (customer_id = (select auth.uid()) or professional_id = (select auth.uid()));
create policy the_desk on tidewire_demo.bookings for select to authenticated
  using ((select auth.jwt() -> 'app_metadata' ->> 'kind') = 'desk');
create policy customers_book on tidewire_demo.bookings for insert to authenticated
  with check (customer_id = (select auth.uid()) and status = 'pending');
create policy professionals_answer on tidewire_demo.bookings for update to authenticated
  using (professional_id = (select auth.uid()))
  with check (professional_id = (select auth.uid()));
create policy customers_cancel on tidewire_demo.bookings for update to authenticated
  using (customer_id = (select auth.uid()))
  with check (customer_id = (select auth.uid()) and status = 'cancelled');

create policy both_sides on tidewire_demo.disputes for select to authenticated
  using (customer_id = (select auth.uid()) or professional_id = (select auth.uid()));
create policy the_desk on tidewire_demo.disputes for select to authenticated
  using ((select auth.jwt() -> 'app_metadata' ->> 'kind') = 'desk');

create policy oneself on tidewire_demo.notifications for select to authenticated
  using (user_id = (select auth.uid()));
