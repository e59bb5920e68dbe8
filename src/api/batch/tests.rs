use std::error::Error;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio_postgres::types::FromSql;

use super::super::load;
use super::*;

fn route(result: &str, sql: &str, rest: &str) -> Route {
    let text = format!(
        "[[route]]\nname = \"r\"\nmethod = \"GET\"\npath = \"/r\"\nresult = \"{result}\"\nsql = '''\n{sql}\n'''\n{rest}\n"
    );
    let mut api = load("api.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    api.routes.remove(0)
}

/// Declares each as a query parameter.
fn params(names: &[&str]) -> String {
    let entries = names
        .iter()
        .map(|name| format!("{name} = {{ in = \"query\" }}\n"));
    format!("[route.params]\n{}", entries.collect::<String>())
}

fn named(schema: &str, name: &str, kind: Kind) -> Type {
    Type::new(name.to_owned(), 70_000, kind, schema.to_owned())
}

fn column(name: &str, ty: Type) -> (String, Type) {
    (name.to_owned(), ty)
}

fn keyed(route: &Route, types: &[Type], columns: &[(String, Type)]) -> Keyed {
    match BatchStatement::of(route, types, columns) {
        Ok(BatchStatement::Keyed(keyed)) => keyed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_statement_of_a_batch() {
    let route = route(
        "one",
        "select id from t where a = :a and b = :b or :a is null -- the end;",
        &params(&["a", "b"]),
    );
    let shade = named("my \"own\"", "Shade", Kind::Enum(vec!["dark".to_owned()]));
    let keyed = keyed(&route, &[Type::INT8, shade], &[]);
    assert_eq!(
        keyed.text,
        r#"select r.*, pinion_key.ord
from rows from (pg_catalog.unnest($1::"pg_catalog"."int8"[]), pg_catalog.unnest($2::"my ""own"""."Shade"[])) with ordinality as pinion_key(p1, p2, ord)
cross join lateral (select * from (
select id from t where a = pinion_key.p1 and b = pinion_key.p2 or pinion_key.p1 is null
) as s offset 0) as r
where pinion_key.ord between 1 and 2147483647"#
    );
}

/// The declared part of a batch of one text parameter.
fn inner(sql: &str) -> String {
    let keyed = keyed(&route("many", sql, &params(&["a"])), &[Type::TEXT], &[]);
    let (_, rest) = keyed.text.split_once("(select * from (\n").unwrap();
    let (inner, _) = rest.split_once("\n) as s offset 0) as r\n").unwrap();
    inner.to_owned()
}

#[test]
fn only_placeholders_become_columns() {
    for (sql, inner_sql) in [
        (
            "select '$1', \"$1\", $$ $1 $$, $b$ $1 $b$, 1 /* $1 /* $1 */ */ from t -- $1\n where a=:a",
            "select '$1', \"$1\", $$ $1 $$, $b$ $1 $b$, 1 /* $1 /* $1 */ */ from t -- $1\n where a=pinion_key.p1",
        ),
        (
            "select -:a::int, x[1: :a]",
            "select -pinion_key.p1::int, x[1: pinion_key.p1]",
        ),
        (
            "select 1 limit:a ; ; -- none",
            "select 1 limit pinion_key.p1",
        ),
    ] {
        assert_eq!(inner(sql), inner_sql);
    }
    let names: Vec<String> = (1..=11).map(|number| format!("a{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sql = names.iter().map(|name| format!("x = :{name}"));
    let sql = format!("select {}", sql.collect::<Vec<_>>().join(" or "));
    let text = keyed(
        &route("many", &sql, &params(&names)),
        &vec![Type::INT4; 11],
        &[],
    )
    .text;
    assert!(
        text.contains("x = pinion_key.p1 or") && text.contains("x = pinion_key.p11\n"),
        "{text}"
    );
}

#[test]
fn the_keys_have_a_name_that_the_sql_does_not_have() {
    assert!(inner("select * from Pinion_KEY where a = :a").contains("a = pinion_key_.p1"));
    assert!(inner("select 'pinion_key', pinion_key_.b where :a").contains("where pinion_key__.p1"));
}

#[test]
fn what_can_not_be_batched_has_its_reason() {
    let reason = |route: &Route, types: &[Type]| BatchStatement::of(route, types, &[]).unwrap_err();
    let select = "select f(:a)";
    let one = |rest: &str| route("one", select, &format!("{rest}\n{}", params(&["a"])));
    assert_eq!(
        reason(&one("batch = false"), &[Type::INT4]),
        "batch = false"
    );
    assert_eq!(
        reason(&one("read_only = false"), &[Type::INT4]),
        "it is not read-only"
    );
    assert_eq!(
        reason(&route("exec", select, &params(&["a"])), &[Type::INT4]),
        "its result is \"exec\""
    );
    let domain = |base| named("public", "d", Kind::Domain(base));
    let row = named("public", "pair", Kind::Composite(vec![]));
    for (ty, words) in [
        (Type::INT4_ARRAY, ":a is an array"),
        (domain(Type::TEXT_ARRAY), ":a is an array"),
        (row.clone(), ":a is a row"),
        (domain(row), ":a is a row"),
    ] {
        assert_eq!(reason(&one(""), &[ty]), words);
    }
    for ty in [Type::JSONB, Type::INT4_RANGE, domain(Type::INT4)] {
        assert!(BatchStatement::of(&one("batch = true"), &[ty], &[]).is_ok());
    }
    assert_eq!(
        BatchStatement::of(&route("many", "select 1 as one", ""), &[], &[]),
        Ok(BatchStatement::Shared)
    );
}

#[test]
fn the_prepared_text_must_be_what_was_meant() {
    let route = route("one", "select a, b from t where a = :a", &params(&["a"]));
    let (a, b) = (column("a", Type::INT8), column("b", Type::TEXT));
    let ord = column("ord", Type::INT8);
    let keyed = keyed(&route, &[Type::INT8], &[a.clone(), b.clone()]);
    let check = |params: &[Type], columns: &[(String, Type)]| keyed.check(params, columns);
    let array = [Type::INT8_ARRAY];
    assert_eq!(check(&array, &[a.clone(), b.clone(), ord.clone()]), Ok(()));
    for params in [
        &[Type::INT4_ARRAY][..],
        &[Type::INT8],
        &[],
        &[Type::INT8_ARRAY, Type::INT8_ARRAY],
    ] {
        let reason = check(params, &[a.clone(), b.clone(), ord.clone()]).unwrap_err();
        assert_eq!(reason, "a batch takes other parameters");
    }
    for (columns, words) in [
        (vec![], "a batch has no number of the key"),
        (
            vec![a.clone(), b.clone()],
            "a batch has no number of the key",
        ),
        (vec![a.clone(), ord.clone()], "a batch has other columns"),
        (
            vec![a.clone(), b.clone(), b.clone(), ord.clone()],
            "a batch has other columns",
        ),
        (
            vec![a.clone(), column("b", Type::VARCHAR), ord.clone()],
            "column \"b\" is varchar in a batch, not text",
        ),
        (
            vec![a.clone(), column("p1", Type::TEXT), ord.clone()],
            "column \"b\" has another name in a batch; name it: … as b",
        ),
    ] {
        assert_eq!(check(&array, &columns).unwrap_err(), words);
    }
}

/// An element as it stands in the array.
#[derive(Debug, PartialEq)]
struct Element(Vec<u8>);

impl<'a> FromSql<'a> for Element {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Element, Box<dyn Error + Sync + Send>> {
        Ok(Element(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn bound(values: &[Option<Vec<u8>>]) -> Bound {
    let mut bound = Bound::default();
    for value in values {
        let start = bound.bytes.len() as u32;
        bound.bytes.extend(value.iter().flatten());
        let end = bound.bytes.len() as u32;
        bound.values.push(value.as_ref().map(|_| start..end));
    }
    bound
}

proptest! {
    /// The driver's own reader of arrays finds what the members were bound to.
    #[test]
    fn parameters_are_the_arrays_of_their_values(
        (members, oids) in (1..4usize).prop_flat_map(|params| (
            vec(vec(option::of(vec(any::<u8>(), 0..5)), params), 0..9),
            vec(any::<u32>(), params),
        )),
        before in vec(any::<u8>(), 0..3),
    ) {
        let names: Vec<String> = (0..oids.len()).map(|number| format!("a{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sql = format!("select f(:{})", names.join(", :"));
        let element = |&oid| Type::new("t".to_owned(), oid, Kind::Simple, "public".to_owned());
        let types: Vec<Type> = oids.iter().map(element).collect();
        let keyed = keyed(&route("one", &sql, &params(&names)), &types, &[]);
        let bounds: Vec<Bound> = members.iter().map(|values| bound(values)).collect();
        let bounds: Vec<&Bound> = bounds.iter().collect();
        let mut out = before.clone();
        prop_assert_eq!(keyed.append_parameters(&bounds, &mut out), Ok(()));

        let mut rest = out.strip_prefix(before.as_slice()).unwrap();
        for (index, ty) in types.into_iter().enumerate() {
            let (length, after) = rest.split_at(4);
            let length = i32::from_be_bytes(length.try_into().unwrap()) as usize;
            let (array, after) = after.split_at(length);
            prop_assert_eq!(&array[8..12], &ty.oid().to_be_bytes()[..]);
            let array_type = named("public", "_t", Kind::Array(ty));
            let read = Vec::<Option<Element>>::from_sql(&array_type, array).unwrap();
            let wanted: Vec<Option<Element>> = members
                .iter()
                .map(|values| values[index].clone().map(Element))
                .collect();
            let has_null = i32::from(wanted.contains(&None));
            prop_assert_eq!(&array[4..8], &has_null.to_be_bytes()[..]);
            prop_assert_eq!(read, wanted);
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }
}

#[test]
fn an_array_past_what_postgres_reads_is_refused_and_leaves_nothing() {
    let route = route("one", "select f(:a, :b)", &params(&["a", "b"]));
    let keyed = keyed(&route, &[Type::BYTEA, Type::BYTEA], &[]);
    let large = bound(&[Some(vec![1]), Some(vec![0; 1 << 20])]);
    // The last one that fits would be copied: what is refused is refused before.
    let members = vec![&large; 2048];
    let mut out = vec![7];
    let appended = keyed.append_parameters(&members, &mut out);
    assert_eq!((appended, out), (Err(TooLarge), vec![7]));
}
