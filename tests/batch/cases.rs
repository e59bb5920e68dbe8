//! What is run both ways.

pub const SCHEMA: &str = r#"
create schema "Other ""place""";
create type "Other ""place""".shade as enum ('light', 'dark blue');
create domain rating as int4 check (value between 1 and 5);
create domain pressed as text not null;
create table parts (id int8 primary key, whole int8, name text not null, price numeric, rating rating);
insert into parts select n, n % 50, 'part ' || n % 9, n / 3.0, 1 + n % 5 from generate_series(1, 5000) n;
create index on parts (whole);
create view totals as select whole, count(*) as parts, sum(price) as price from parts group by whole;
create view ranked as
    select whole, name, row_number() over (partition by whole order by price desc, id) as place from parts;
analyze parts;
"#;

/// Statements with the queries that are bound to them, and how many rows those give together.
pub const STATEMENTS: &[(&str, &[&str], usize)] = &[
    (
        "select * from parts where id = :id",
        &["id=7", "id=-1", "", "id=7", "id=5000"],
        3,
    ),
    // Comments and a semicolon at the end, dollar quotes, a colon that is none.
    (
        "select id, $$ :id $$ as a, ':id'::text as b from parts where id = :id; -- :id",
        &["id=1", "id=2"],
        2,
    ),
    (
        "select id from parts where id = :id /* the end */",
        &["id=1"],
        1,
    ),
    (
        "with w as (select * from parts where whole = :w) select count(*) as n, min(a.id) as id from w a join w b using (name)",
        &["w=1", "w=999", ""],
        3,
    ),
    (
        "with w as materialized (select count(*) as n from parts) select id, n from w, parts where id = :id",
        &["id=1", "id=2"],
        2,
    ),
    (
        "with recursive down as (select :n::int4 as n union all select n - 1 from down where n > 1) select n from down",
        &["n=3", "n=1", "n=2"],
        6,
    ),
    (
        "select id, name from parts where id = :a union select id, name from parts where id = :b union all select 0, 'none'",
        &["a=1&b=2", "a=3&b=3", "a=-1"],
        6,
    ),
    (
        "select id from parts where whole = :w order by price desc, id limit 1",
        &["w=1", "w=2", "w=-2"],
        2,
    ),
    (
        "select id from parts where whole = :w order by id desc limit :n offset :o",
        &["w=1&n=3&o=1", "w=2&n=2", "w=3&n=0"],
        5,
    ),
    (
        "select id from parts where whole = :w order by id fetch first :n rows only",
        &["w=1&n=3", "w=2&n=1"],
        4,
    ),
    (
        "select distinct on (name) name, id, price from parts where whole = :w order by name, price desc",
        &["w=1", "w=2"],
        18,
    ),
    (
        "select count(*) as n, sum(price) as price, max(id) as id from parts where whole = :w",
        &["w=1", "w=-1", ""],
        3,
    ),
    (
        "select name, count(*) as n from parts where whole = :w group by name having count(*) > :n",
        &["w=1&n=1", "w=1&n=99"],
        9,
    ),
    (
        "select * from totals where whole = :w",
        &["w=1", "w=-1", "w=1"],
        2,
    ),
    (
        "select * from ranked where whole = :w and place <= :n order by place",
        &["w=1&n=3", "w=2&n=1", "w=3"],
        4,
    ),
    (
        "select id from parts where (:w::int8 is null or whole = :w) and (:name::text is null or name = :name) order by id limit 5",
        &["w=1", "name=part 3", "", "w=1&name=part 1"],
        20,
    ),
    (
        "select id from parts p where exists (select from parts q where q.whole = p.id and q.name = :name) and p.id < :id",
        &["name=part 3&id=4", "name=x&id=9"],
        3,
    ),
    (
        "select id, (select sum(price) from parts q where q.whole = p.id and q.rating = :r) as s from parts p where id = :id",
        &["id=3&r=2", "id=3", "id=99&r=2"],
        3,
    ),
    (
        "select p.id, q.id as other from parts p left join parts q on q.id = p.id + 1 and q.rating >= :r where p.id = :id",
        &["id=1&r=3", "id=2&r=5"],
        2,
    ),
    (
        "select id from parts where id = :id and rating = any (string_to_array(:list, ',')::int4[])",
        &["id=1&list=2,3", "id=1&list=3"],
        1,
    ),
    (
        "values (:a::int4, :b::text), (0, 'zero')",
        &["a=1&b=x", "b="],
        4,
    ),
    ("select :a as text", &["a=x", ""], 2),
    (
        "select x.* from json_to_recordset(:doc) as x(a int4, b text)",
        &["doc=[{\"a\":1},{\"b\":\"x\"}]", "doc=[]"],
        2,
    ),
    (
        "select generate_series(1, :n::int4) as n",
        &["n=2", "n=0", "n=3"],
        5,
    ),
    (
        "select pinion_key.id from parts as pinion_key where pinion_key.id = :id",
        &["id=1", "id=2"],
        2,
    ),
];

/// Types with two values each.
pub const TYPES: &[(&str, &str, &str)] = &[
    ("bool", "true", "false"),
    ("int2", "-1", "32767"),
    ("int4", "7", "-2147483648"),
    ("int8", "9223372036854775807", "0"),
    ("oid", "4294967295", "0"),
    ("float4", "0.1", "-1e30"),
    ("float8", "0.1", "NaN"),
    ("numeric", "12345678901234567890.50", "-0.001"),
    ("text", "ü, \"x\" {} \\ '", ""),
    ("varchar", "a", ""),
    ("bpchar", "a ", "b"),
    ("name", "a", "b"),
    ("\"char\"", "a", "b"),
    (
        "uuid",
        "00000000-0000-4000-8000-000000000001",
        "ffffffff-0000-4000-8000-000000000001",
    ),
    ("date", "2024-02-29", "0001-01-01"),
    ("time", "12:34:56.789", "00:00:00"),
    ("timetz", "12:34:56Z", "00:00:00-05:00"),
    (
        "timestamp",
        "2024-02-29T12:00:00",
        "1999-12-31T23:59:59.999999",
    ),
    (
        "timestamptz",
        "2024-02-29T12:00:00Z",
        "1999-12-31T23:59:59-08:00",
    ),
    ("interval", "1 day", "-02:00:00"),
    ("json", "{\"a\": [1, null]}", "null"),
    ("jsonb", "{\"a\": [1, null]}", "1.50"),
    ("bytea", "\\x00ff", "\\x"),
    ("inet", "10.0.0.1", "::1"),
    ("cidr", "10.0.0.0/8", "::/0"),
    ("macaddr", "08:00:2b:01:02:03", "00:00:00:00:00:00"),
    ("int4range", "[1,5)", "empty"),
    ("rating", "1", "5"),
    ("\"Other \"\"place\"\"\".shade", "light", "dark blue"),
];
