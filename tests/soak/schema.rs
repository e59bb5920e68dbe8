//! The tables, the routes and the flags of the soak. Every answer names its key and carries a value
//! that belongs to that key alone, so that a mixed-up row is seen.

/// Items that never change.
pub const ITEMS: usize = 1000;
/// Rows of some 40 KB.
pub const BULKY: usize = 100;
/// Rows of the table that DDL is done to.
pub const CHANGING: usize = 100;
/// Rows of each tenant.
pub const OWNED: usize = 100;
/// Counters that clients increase; the first [`OWN_COUNTERS`] have one writer each.
pub const COUNTERS: usize = 32;
/// See [`COUNTERS`].
pub const OWN_COUNTERS: usize = 8;
/// Kinds of goods, and how much there is of each: the first ones run out.
pub const STOCK: [i64; 4] = [20, 200, 1_000_000, 1_000_000];
/// Accounts that transfers lock in either order.
pub const ACCOUNTS: usize = 4;

/// No write is made unique by the database but `reservations`: one that was done twice must show.
pub const SCHEMA: &str = "
create role soak login password 'of the soak';
create role soak_agent;
create role soak_public;
grant soak_agent, soak_public to soak;

create table items (
    id int4 primary key, slug text not null unique, tag uuid not null unique, mark text not null
);
insert into items
select n, 'slug-' || n, md5('tag' || n)::uuid, md5('mark' || n) from generate_series(1, 1000) n;

create table bulky (id int4 primary key, body text not null);
insert into bulky select n, repeat(md5('mark' || n), 1250) from generate_series(1, 100) n;

create table changing (id int4 primary key, mark text not null);
insert into changing select n, md5('mark' || n) from generate_series(1, 100) n;

create table tokens (token int8 not null);
create index on tokens (token);
create table reservations (token int8 primary key);
create table counters (id int4 primary key, n int8 not null);
insert into counters select n, 0 from generate_series(0, 31) n;
create table stock (sku int4 primary key, remaining int8 not null);
insert into stock values (0, 20), (1, 200), (2, 1000000), (3, 1000000);
create table accounts (id int4 primary key, n int8 not null);
insert into accounts select n, 0 from generate_series(0, 3) n;

create table owned (tenant text not null, id int4 not null, mark text not null, primary key (tenant, id));
insert into owned
select 't' || t, n, 't' || t || '-mark-' || n from generate_series(0, 2) t, generate_series(1, 100) n;
alter table owned enable row level security;
create policy of_tenant on owned to soak_agent using
    (tenant = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'tenant');

create function refuse(id int4) returns int4 language plpgsql as
$$ begin raise exception 'refused %', id; end $$;

create function add_and_refuse(token int8) returns int8 language plpgsql as
$$ begin insert into tokens values (token); raise exception 'refused %', token; end $$;

create function transfer(source int4, target int4) returns int4 language plpgsql as
$$ begin
    update accounts set n = n + 1 where id = source;
    perform pg_sleep(0.02);
    update accounts set n = n + 1 where id = target;
    return source;
end $$;

grant select, insert, update on all tables in schema public to soak;
grant select on owned to soak_agent, soak_public;
analyze;
";

/// Whom the server is to Postgres, in a URL.
pub const USER: &str = "soak:of%20the%20soak";

/// Who may come in how: the server with its password, and over TLS alone.
pub const ADMITTED: &str = "
local   all postgres     trust
hostssl all soak     all scram-sha-256
";

/// The flags, beside the routes and the addresses. Times that a loaded machine may need are far from
/// those that the soak waits for; buffers are small, so that a client that does not read is felt.
pub const FLAGS: &[&str] = &[
    "--cores",
    "0,1",
    "--recycle",
    "10s",
    "--statement-timeout",
    "4s",
    "--acquire-timeout",
    "4s",
    "--queue-target",
    "2s",
    "--keep-alive",
    "10s",
    "--header-timeout",
    "3s",
    "--body-timeout",
    "3s",
    "--write-timeout",
    "5s",
    "--send-buffer",
    "64k",
    "--max-body-bytes",
    "64k",
    "--max-in-flight",
    "1200",
    "--max-connections",
    "600",
];

/// A route of every kind; `SECRET` is where the secret of tokens is.
pub const ROUTES: &str = r#"
[api]
title = "Soak"
version = "1"

[cors]
allow_origins = ["https://*.soak.example", "http://localhost:*"]

[auth]
database_roles = ["soak_agent", "soak_public"]

[auth.jwt]
algorithms = ["HS256"]
secret_file = "SECRET"

[rate_limit.generous]
requests = 1000000
per = "1s"

[rate_limit.scarce]
requests = 600
per = "1m"
burst = 20
key = "route"
on_store_failure = "deny"

[lane.slow]
connections = 2
queue = 32

[lane.patient]
connections = 2
queue = 4096

[lane.locks]
connections = 2

[[route]]
name = "item"
method = "GET"
path = "/items/{id}"
auth = "jwt"
settings = []
result = "one"
not_found = "No such item"
sql = "select id, mark from items where id = :id"

[[route]]
name = "item_of_slug"
method = "GET"
path = "/slugs/{slug}"
auth = "jwt"
settings = []
rate_limit = "generous"
result = "one"
sql = "select slug, mark from items where slug = :slug"

[[route]]
name = "item_of_tag"
method = "GET"
path = "/tags/{tag}"
rate_limit = "generous"
result = "one"
sql = "select tag, mark from items where tag = :tag"

[[route]]
name = "ten_items"
method = "GET"
path = "/items"
result = "many"
sql = "select id, mark from items where id between :first and :first + 9 order by id"
[route.params]
first = { in = "query", ge = 1, le = 991 }

[[route]]
name = "mark"
method = "GET"
path = "/marks/{id}"
auth = "jwt"
settings = ["claims"]
result = "scalar"
sql = "select mark from items where id = :id"

[[route]]
name = "item_alone"
method = "GET"
path = "/alone/{id}"
auth = "jwt"
result = "one"
batch = false
sql = "select id, mark from items where id = :id"

[[route]]
name = "look_up"
method = "POST"
path = "/look-up"
auth = "jwt"
settings = []
result = "one"
read_only = true
sql = "select id, mark, :note::text as note from items where id = :id"
[route.params]
id = { in = "body" }
note = { in = "body" }

[[route]]
name = "bulky"
method = "GET"
path = "/bulky/{id}"
auth = "jwt"
settings = []
result = "one"
sql = "select id, body from bulky where id = :id"

[[route]]
name = "changing"
method = "GET"
path = "/changing/{id}"
auth = "jwt"
settings = []
result = "one"
sql = "select * from changing where id = :id"

[[route]]
name = "refuse"
method = "GET"
path = "/refusals/{id}"
auth = "jwt"
settings = ["method", "claims"]
result = "one"
read_only = true
sql = "select refuse(:id) as id"

[[route]]
name = "nap"
method = "GET"
path = "/naps/{id}"
result = "one"
lane = "slow"
sql = "select id, mark from items, pg_sleep(0.01) where id = :id"

[[route]]
name = "patient_nap"
method = "GET"
path = "/patient-naps/{id}"
result = "one"
lane = "patient"
sql = "select id, mark from items, pg_sleep(0.002) where id = :id"

[[route]]
name = "overdue"
method = "GET"
path = "/overdue/{id}"
result = "one"
lane = "slow"
timeout = "200ms"
sql = "select id, mark from items, pg_sleep(60) where id = :id"

[[route]]
name = "cancellable"
method = "GET"
path = "/cancellable/{id}"
result = "one"
lane = "slow"
cancel = true
sql = "select id, mark from items, pg_sleep(:seconds) where id = :id"
[route.params]
seconds = { in = "query" }

[[route]]
name = "counter"
method = "GET"
path = "/counters/{id}"
auth = "jwt"
settings = []
result = "one"
sql = "select id, n from counters where id = :id"

[[route]]
name = "increase"
method = "POST"
path = "/counters/{id}"
auth = "jwt"
settings = []
result = "one"
sql = "update counters set n = n + 1 where id = :id returning id, n"

[[route]]
name = "add_token"
method = "POST"
path = "/tokens/{token}"
auth = "jwt"
result = "one"
status = 201
sql = "insert into tokens (token) values (:token) returning token"

[[route]]
name = "put_token"
method = "PUT"
path = "/tokens/{token}"
auth = "jwt"
settings = []
result = "exec"
sql = "insert into tokens (token) values (:token)"

[[route]]
name = "add_and_refuse"
method = "POST"
path = "/refused-tokens/{token}"
result = "one"
sql = "select add_and_refuse(:token) as token"
read_only = false

[[route]]
name = "reserve"
method = "POST"
path = "/reservations/{token}"
auth = "jwt"
settings = ["claims"]
result = "one"
status = 201
not_found = "Reserved already"
empty_status = 409
sql = "insert into reservations (token) values (:token) on conflict do nothing returning token"

[[route]]
name = "take"
method = "POST"
path = "/stock/{sku}"
result = "one"
not_found = "Sold out"
empty_status = 409
sql = "update stock set remaining = remaining - 1 where sku = :sku and remaining > 0 returning sku, remaining"

[[route]]
name = "transfer"
method = "POST"
path = "/transfers/{source}/{target}"
result = "one"
lane = "locks"
read_only = false
sql = "select transfer(:source, :target) as source"

[[route]]
name = "owned"
method = "GET"
path = "/owned/{id}"
result = "one"
auth = "jwt"
database_role = "claim:role"
settings = ["claims"]
sql = "select id, tenant, mark from owned where id = :id"

[[route]]
name = "nobodys"
method = "GET"
path = "/nobodys/{id}"
result = "scalar"
database_role = "soak_public"
sql = "select count(*)::int4 from owned where id = :id"

[[route]]
name = "scarce"
method = "GET"
path = "/scarce/{id}"
result = "one"
rate_limit = "scarce"
sql = "select id, mark from items where id = :id"
"#;
