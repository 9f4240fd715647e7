-- Purpose: what a booking goes through. A new one is completed from its professional's entry, its status moves forwards
-- only, and both sides are told in the same transaction. Made after the year of data, which tells nobody anything.

create function tidewire_demo.complete_booking() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  select p.tenant, p.name, p.service, p.price_cop
  into new.tenant, new.professional, new.service, new.total_price_cop
  from tidewire_demo.professionals p
  where p.id = new.professional_id;
  select u.name into new.customer
  from tidewire_demo.users u
  where u.id = new.customer_id and u.tenant = new.tenant and u.kind = 'customer';
  if new.customer is null then
    raise check_violation using message = 'a customer books a professional of the same tenant';
  end if;
  return new;
end
$$;

create function tidewire_demo.move_booking() returns trigger
  language plpgsql set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('pending', 'confirmed'), ('pending', 'cancelled'), ('confirmed', 'completed'), ('confirmed', 'cancelled')
  ) then
    raise check_violation using message = pg_catalog.format('a %s booking cannot be %s', old.status, new.status);
  end if;
  new.updated_at = pg_catalog.now();
  return new;
end
$$;

-- Whoever acts is not told of it: it is the other side that needs to know.
create function tidewire_demo.tell_of_booking() returns trigger
  language plpgsql security definer set search_path = ''
as $$
begin
  insert into tidewire_demo.notifications (booking_id, user_id, title)
  select
    new.id,
    case
      when new.status = 'pending' or auth.uid() is not distinct from new.customer_id then new.professional_id
      else new.customer_id
    end,
    case new.status
      when 'pending' then pg_catalog.format('%s asks for %s', new.customer, new.service)
      when 'confirmed' then pg_catalog.format('%s has confirmed %s', new.professional, new.service)
      when 'completed' then pg_catalog.format('%s is done: how was %s?', new.service, new.professional)
      else pg_catalog.format('%s with %s is cancelled', new.service, new.professional)
    end;
  return null;
end
$$;

revoke all on function
  tidewire_demo.complete_booking(), tidewire_demo.move_booking(), tidewire_demo.tell_of_booking()
from public;

create trigger complete_booking before insert on tidewire_demo.bookings
  for each row execute function tidewire_demo.complete_booking();
create trigger move_booking before update of status on tidewire_demo.bookings
  for each row execute function tidewire_demo.move_booking();
create trigger tell_of_booking after insert or update of status on tidewire_demo.bookings
  for each row execute function tidewire_demo.tell_of_booking();
