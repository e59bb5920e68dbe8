-- The shop: the schema and the data behind shop.toml.
--
-- psql runs this file in one transaction (pinion demo does so by itself). Every value is computed from
-- a row's number, so that each load gives the same rows on every machine and a request that is shown
-- somewhere has the same answer everywhere.
--
-- Constraints come before code: what must always hold stands here, once, and holds for every route
-- and every concurrent request. A statement that would break it is refused by Postgres, and Pinion
-- turns the refusal into 409 or 422.

-- ---- Users ------------------------------------------------------------------------------------

create table users (
    user_id     int8        primary key,
    username    text        not null unique,
    email       text        not null,
    last_active timestamptz not null,
    -- Set when the user is deleted. The row stays because orders and logs refer to it; every
    -- statement that reads users says "deleted_at is null".
    deleted_at  timestamptz
);

-- The address of a deleted user is free to be used again.
create unique index users_email_key on users (lower(email)) where deleted_at is null;

-- 100,000 users, active at some moment of the last 90 days of 2025. Every hundredth is deleted.
insert into users (user_id, username, email, last_active, deleted_at)
select n,
       'user' || n,
       'user' || n || '@example.com',
       -- 7919 is prime, so that neighbours in number are not neighbours in time.
       timestamptz '2026-01-01 00:00:00+00'
           - (n * 7919 % 7776000) * interval '1 second'
           - (n % 1000) * interval '1 millisecond',
       case when n % 100 = 0 then timestamptz '2026-01-01 00:00:00+00' end
  from generate_series(1, 100000) as n;

-- ---- Products ---------------------------------------------------------------------------------

create table products (
    product_id int8          primary key,
    name       text          not null,
    category   text          not null,
    -- Money is numeric: exact, and so it reaches the client.
    price      numeric(10,2) not null check (price >= 0),
    created_at timestamptz   not null
);

-- No index on category or price: a page walks along the primary key and skips what the filters do not
-- want, which for 8 categories is sooner done than to look elsewhere. With hundreds of categories it
-- would be "create index on products (category, product_id)" and a route with the category in its path.

-- 50,000 products in 8 categories, from 1.99 to 1995.99; the cube makes many cheap and few dear ones.
insert into products (product_id, name, category, price, created_at)
select n,
       (array['Plain', 'Compact', 'Classic', 'Sturdy', 'Light', 'Deluxe', 'Folding'])[1 + n % 7]
           || ' '
           || (array['Notebook', 'Kettle', 'Lamp', 'Tent', 'Drill', 'Puzzle', 'Scarf', 'Teapot'])[1 + n % 8]
           || ' ' || n,
       (array['books', 'kitchen', 'lighting', 'outdoor', 'tools', 'toys', 'clothing', 'tea'])[1 + n % 8],
       (199 + spread * spread * spread / 5000) / 100.0,
       timestamptz '2024-01-01 00:00:00+00' + n * interval '20 minutes'
  from (select n, n::int8 * 7919 % 1000 as spread from generate_series(1, 50000) as n) as numbers;

-- ---- Stock ------------------------------------------------------------------------------------

create table stock (
    sku        text        primary key,
    product_id int8        not null unique references products,
    -- Pieces that can still be reserved. The check is the last line of defence: the statement that
    -- reserves asks first, so that running short is an answer and not a fault.
    on_hand    int4        not null check (on_hand >= 0),
    -- Pieces that are set aside for an order and not yet shipped.
    reserved   int4        not null default 0 check (reserved >= 0),
    updated_at timestamptz not null
)
-- Room on each page for the new version of a row that is reserved: it then stays on its page, and the
-- indexes need no change (a HOT update).
with (fillfactor = 80);

-- One stock item per product: SKU-00001 has 1 piece, SKU-00100 has 100, SKU-00500 is sold out.
insert into stock (sku, product_id, on_hand, updated_at)
select 'SKU-' || lpad(n::text, 5, '0'), n, n % 500, timestamptz '2026-01-01 00:00:00+00'
  from generate_series(1, 50000) as n;

-- ---- Agents -----------------------------------------------------------------------------------

create table tenants (
    tenant_id int4 primary key,
    name      text not null unique
);

insert into tenants (tenant_id, name) values (1, 'acme'), (2, 'globex'), (3, 'initech');

create table agents (
    agent_id     uuid        primary key,
    tenant_id    int4        not null references tenants,
    name         text        not null,
    model        text        not null,
    status       text        not null check (status in ('idle', 'busy', 'offline')),
    capabilities text[]      not null,
    config       jsonb       not null check (jsonb_typeof(config) = 'object'),
    created_at   timestamptz not null,
    -- Also the index for the agents of a tenant.
    unique (tenant_id, name)
);

-- 16 agents, 00000000-0000-4000-8000-000000000001 to -000000000010 (hexadecimal), in 3 tenants.
insert into agents (agent_id, tenant_id, name, model, status, capabilities, config, created_at)
select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       1 + n % 3,
       'agent-' || n,
       (array['small-1', 'medium-1', 'large-1'])[1 + n / 2 % 3],
       (array['idle', 'busy', 'idle', 'offline'])[1 + n % 4],
       (array['search', 'summarise', 'translate', 'classify', 'draft'])[1 : 1 + n % 5],
       jsonb_build_object('temperature', n % 10 * 0.1, 'max_tokens', 1024 * (1 + n % 4), 'stream', n % 2 = 0),
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1 day'
  from generate_series(1, 16) as n;

-- ---- Messages ---------------------------------------------------------------------------------

create table messages (
    message_id int8        generated always as identity,
    agent_id   uuid        not null references agents on delete cascade,
    role       text        not null check (role in ('system', 'user', 'assistant', 'tool')),
    content    text        not null check (content <> ''),
    metadata   jsonb,
    created_at timestamptz not null default now(),
    -- The agent first: the key is at once the index for a conversation's page, one agent's messages in
    -- the order of the keyset. With an index on message_id alone beside it the planner, which knows
    -- no values when it plans for all, may walk through the messages of everyone.
    primary key (agent_id, message_id)
);

-- 500 messages for each agent, the agents taking turns, a minute apart.
insert into messages (agent_id, role, content, metadata, created_at)
select agent_id,
       case when turn = 1 then 'system' when turn % 2 = 0 then 'user' else 'assistant' end,
       'Message ' || turn || ' of ' || name,
       case when turn % 10 = 0 then jsonb_build_object('tokens', 10 + turn % 90) end,
       timestamptz '2025-06-01 00:00:00+00' + turn * interval '1 minute'
  from agents cross join generate_series(1, 500) as turn
 order by turn, agent_id;

-- ---- Workflows --------------------------------------------------------------------------------

-- A workflow is a list of named steps and the number of the one that runs:
--
--   pending, step 0 → running, steps 1 to n → completed, step n
--                                          ↘ failed, at any step
--
-- The checks allow exactly the states of that picture; shop.toml's "advance" makes the moves.
create table workflows (
    workflow_id int8        generated always as identity primary key,
    agent_id    uuid        not null references agents on delete cascade,
    name        text        not null check (name <> ''),
    steps       text[]      not null check (cardinality(steps) between 1 and 100),
    status      text        not null default 'pending'
                            check (status in ('pending', 'running', 'completed', 'failed')),
    step        int4        not null default 0,
    error       text,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    check (step between 0 and cardinality(steps)),
    check ((status = 'pending') = (step = 0)),
    check (status <> 'completed' or step = cardinality(steps)),
    check ((status = 'failed') = (error is not null)),
    check (array_ndims(steps) = 1 and array_position(steps, null) is null)
);

-- An agent's workflows; the foreign key needs it as well when an agent is deleted.
create index workflows_agent_idx on workflows (agent_id, workflow_id);

-- 1,000 workflows of three steps, a quarter of them in each state: 1 is running, 2 completed,
-- 3 failed, 4 pending, and so on.
insert into workflows (agent_id, name, steps, status, step, error, created_at, updated_at)
select ('00000000-0000-4000-8000-' || lpad(to_hex(1 + n % 16), 12, '0'))::uuid,
       'workflow-' || n,
       array['fetch', 'summarise', 'store'],
       (array['pending', 'running', 'completed', 'failed'])[1 + n % 4],
       (array[0, 1 + n % 3, 3, 1 + n % 3])[1 + n % 4],
       case when n % 4 = 3 then 'the source did not answer' end,
       timestamptz '2025-07-01 00:00:00+00' + n * interval '1 hour',
       timestamptz '2025-07-01 00:00:00+00' + n * interval '1 hour' + interval '5 minutes'
  from generate_series(1, 1000) as n
 order by n;

-- ---- Tenants apart ----------------------------------------------------------------------------

-- What the holder of a token may see and change is decided here, once, and holds for every statement: the
-- routes of /api/v1 run as shop_agent, a role that owns nothing, and the policies show it what
-- belongs to the tenant that the token names. A route that forgot to ask for the tenant would still
-- show nobody else's rows.

do $$
begin
    -- Roles belong to all databases of a server: it may be there already.
    if not exists (select from pg_roles where rolname = 'shop_agent') then
        create role shop_agent nologin;
    end if;
end
$$;
grant shop_agent to current_user;

grant select on tenants, agents, messages, workflows to shop_agent;
grant insert on messages to shop_agent;
grant insert, update on workflows to shop_agent;

-- The tenant of the request's token, or null. The setting is empty where a session once had it and there is
-- none any more, and an empty text is no JSON.
create function current_tenant() returns int4
    language sql stable
    as $$
    select tenant_id
      from tenants
     where name = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'tenant'
    $$;

alter table agents enable row level security;
alter table messages enable row level security;
alter table workflows enable row level security;

-- In a subquery the tenant is looked up once for a statement, and not once for a row.
create policy of_tenant on agents to shop_agent
    using (tenant_id = (select current_tenant()));

-- The agents that a subquery sees are those of the tenant: the policy above holds there as well. Without
-- a "with check" of its own the same holds for rows that are written.
create policy of_tenant on messages to shop_agent
    using (agent_id in (select agent_id from agents));
create policy of_tenant on workflows to shop_agent
    using (agent_id in (select agent_id from agents));

-- ---- Statistics -------------------------------------------------------------------------------

-- Now, because the first requests come before autovacuum does.
analyze users, products, stock, tenants, agents, messages, workflows;
