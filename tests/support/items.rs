//! The rows that are read where answers are checked under load: a thousand, each of which says whose it is.

/// The statements that make them.
macro_rules! table {
    () => {
        "create table items (id int4 primary key, name text not null);
insert into items select n, 'item ' || n from generate_series(1, 1000) n;
"
    };
}

/// The route that reads one of them.
macro_rules! route {
    () => {
        r#"
[[route]]
name = "get_item"
method = "GET"
path = "/items/{id}"
result = "one"
sql = "select id, name from items where id = :id"
"#
    };
}

pub(crate) use {route, table};
