//! Random literals of every type that Pinion knows, nested ones, as Postgres' input functions read them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::scalars::{integers, json, numeric, scalars, text, timestamp, words};

/// A type and a source of its literals.
pub struct Subject {
    /// The type's name in SQL.
    pub sql: String,
    pub literals: BoxedStrategy<String>,
    /// Our JSON of a value, decoded again, is the same value (not where JSON is ambiguous).
    pub json_round_trip: bool,
    /// The decoder takes these literals as text.
    pub takes_text: bool,
}

/// Types, functions and extensions that the subjects use.
pub const SCHEMA: &str = r#"
create extension citext;
create type mood as enum ('sad', 'so "so"', 'it''s \ ok', 'größe');
create domain count_of as int8 check (value is null or value <> 13);
create domain label as text;
create domain labels as text[];
create domain label_of_label as label;
create type floatrange as range (subtype = float8);
create type textrange as range (subtype = text);
create type timerange as range (subtype = time);
create type uuidrange as range (subtype = uuid);
create type pair as (id int8, "say ""hi""" text, at timestamptz, tags text[]);
create type nest as (p pair, ps pair[], m mood, n numeric, j jsonb, c count_of, ls labels);
create domain pair_domain as pair;
create function try_cast(literal text, type text) returns text language plpgsql as $$
declare result text;
begin
  execute format('select (%L::%s)::text', literal, type) into result;
  return result;
exception when others then
  return null;
end $$;
"#;

pub fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (sql, literals) in scalars() {
        let holds_json = sql.starts_with("json");
        let dimensions = array_of(literals.clone());
        let scalar = Subject {
            sql: sql.into(),
            literals,
            json_round_trip: true,
            takes_text: true,
        };
        subjects.push(scalar);
        subjects.push(Subject {
            sql: format!("{sql}[]"),
            literals: dimensions,
            json_round_trip: !holds_json,
            takes_text: false,
        });
    }
    for (sql, literals) in ranges() {
        let arrays = array_of(literals.clone());
        subjects.push(Subject {
            sql: sql.into(),
            literals,
            json_round_trip: true,
            takes_text: true,
        });
        subjects.push(Subject {
            sql: format!("{sql}[]"),
            literals: arrays,
            json_round_trip: true,
            takes_text: false,
        });
    }
    for (sql, literals) in [
        ("pair", pair()),
        ("pair_domain", pair()),
        ("nest", nest()),
        ("nest[]", array_of(nest())),
        ("labels", array_of(text())),
    ] {
        subjects.push(Subject {
            sql: sql.into(),
            literals,
            json_round_trip: true,
            takes_text: false,
        });
    }
    subjects
}

fn ranges() -> Vec<(&'static str, BoxedStrategy<String>)> {
    let day = || {
        (1i32..28)
            .prop_map(|day| format!("2026-02-{day:02}"))
            .boxed()
    };
    let instant = || day().prop_map(|day| day + " 10:00:00.5").boxed();
    let small = || (-9i32..=9).prop_map(|value| format!("{value}")).boxed();
    let int4 = range_of(small(), compare_numbers);
    let dates = range_of(day(), str::cmp);
    vec![
        ("int8range", range_of(small(), compare_numbers)),
        ("int4multirange", multirange_of(int4.clone())),
        ("int4range", int4),
        (
            "numrange",
            range_of(
                small().prop_map(|value| value + ".50").boxed(),
                compare_numbers,
            ),
        ),
        // Few digits: see the note on floats in the test.
        (
            "floatrange",
            range_of(
                (-99_999i32..99_999, -30..10)
                    .prop_map(|(value, power)| format!("{value}e{power}"))
                    .boxed(),
                compare_numbers,
            ),
        ),
        ("tsrange", range_of(instant(), str::cmp)),
        ("tstzrange", range_of(instant(), str::cmp)),
        (
            "tstzmultirange",
            multirange_of(range_of(instant(), str::cmp)),
        ),
        ("datemultirange", multirange_of(dates.clone())),
        ("daterange", dates),
        (
            "timerange",
            range_of(words(&["10:00:00", "10:00:00.25"]), str::cmp),
        ),
        (
            "uuidrange",
            range_of(
                any::<u128>()
                    .prop_map(|bits| uuid::Uuid::from_u128(bits).to_string())
                    .boxed(),
                str::cmp,
            ),
        ),
        ("textrange", range_of(text(), str::cmp)),
    ]
}

/// `{…}` of one to three dimensions with nulls, or empty.
fn array_of(element: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let item =
        prop_oneof![5 => element.prop_map(|literal| quote(&literal)), 1 => Just("NULL".to_owned())];
    let shape = prop_oneof![
        3 => (0usize..5).prop_map(|len| vec![len]),
        1 => (1usize..4, 1usize..4).prop_map(|(a, b)| vec![a, b]),
        1 => (1usize..3, 1usize..3, 1usize..3).prop_map(|(a, b, c)| vec![a, b, c]),
    ];
    shape
        .prop_flat_map(move |lengths| {
            let count = lengths.iter().product::<usize>();
            vec(item.clone(), count).prop_map(move |items| nested(&lengths, &items))
        })
        .boxed()
}

fn nested(lengths: &[usize], items: &[String]) -> String {
    let Some((&length, inner)) = lengths.split_first() else {
        return items[0].clone();
    };
    let each = items.len().checked_div(length).unwrap_or(1);
    let parts: Vec<_> = items.chunks(each).map(|part| nested(inner, part)).collect();
    format!("{{{}}}", parts.join(","))
}

/// The quotes that array, composite and range literals share.
fn quote(literal: &str) -> String {
    format!("\"{}\"", literal.replace('\\', "\\\\").replace('"', "\\\""))
}

fn compare_numbers(a: &str, b: &str) -> std::cmp::Ordering {
    let number = |text: &str| text.parse::<f64>().unwrap();
    number(a).total_cmp(&number(b))
}

type Order = fn(&str, &str) -> std::cmp::Ordering;

fn range_of(bound: BoxedStrategy<String>, order: Order) -> BoxedStrategy<String> {
    let bounds = (
        bound.clone(),
        bound,
        select(&["[", "("][..]),
        select(&["]", ")"][..]),
        0..8,
    );
    bounds
        .prop_map(move |(a, b, open, close, infinite)| {
            let (low, high) = if order(&a, &b).is_le() {
                (a, b)
            } else {
                (b, a)
            };
            let low = if infinite & 3 == 3 {
                String::new()
            } else {
                quote(&low)
            };
            let high = if infinite & 6 == 6 {
                String::new()
            } else {
                quote(&high)
            };
            if infinite == 5 {
                "empty".to_owned()
            } else {
                format!("{open}{low},{high}{close}")
            }
        })
        .boxed()
}

fn multirange_of(range: BoxedStrategy<String>) -> BoxedStrategy<String> {
    vec(range, 0..4)
        .prop_map(|ranges| format!("{{{}}}", ranges.join(", ")))
        .boxed()
}

fn composite(members: Vec<BoxedStrategy<String>>) -> BoxedStrategy<String> {
    let members: Vec<_> = members
        .into_iter()
        .map(|member| {
            prop_oneof![4 => member.prop_map(|literal| quote(&literal)), 1 => Just(String::new())]
                .boxed()
        })
        .collect();
    members
        .prop_map(|members| format!("({})", members.join(",")))
        .boxed()
}

fn pair() -> BoxedStrategy<String> {
    composite(vec![integers(), text(), timestamp("+00"), array_of(text())])
}

fn nest() -> BoxedStrategy<String> {
    composite(vec![
        pair(),
        array_of(pair()),
        words(&["sad", "so \"so\"", "größe"]),
        numeric(),
        json(),
        words(&["1", "-5"]),
        array_of(text()),
    ])
}
