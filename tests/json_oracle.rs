//! Postgres itself is the oracle of the `json` module: `row_to_json` for what a column looks like,
//! the types' own input functions for what a parameter means.
//!
//! Differences that stay, all of them on the strict side:
//! - Decoders take no space around a value, no `now`, `today`, `epoch`, no dates but ISO ones, no
//!   abbreviated addresses (`10/8`), no bytea in escape form, no hexadecimal numbers, no bare
//!   number as an interval.
//! - An offset other than zero on a timestamp without time zone is a fault; Postgres drops it.
//! - Text too long for `name` and `"char"` is a fault; Postgres cuts it.
//! - The order of a range's bounds is not checked by the decoder but by Postgres (22000).
//! - Floats are the same values in another notation (`1.0` for `1`, `1e20` for `1e+20`). Postgres
//!   adds a digit where the shortest one that reads back lies just between two floats
//!   (`4.3347032e+07` for our `43347030.0`), so a float4 is compared as a float4.
//! - An interval whose three fields all have their extreme value is `infinity`, as from Postgres 17.

#[path = "json_oracle/scalars.rs"]
mod scalars;
mod support;
#[path = "json_oracle/values.rs"]
mod values;

use std::error::Error;

use pinion::json::{Decoder, Encoder, Raw};
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type};
use postgres::{Client, NoTls, Statement};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sonic_rs::{JsonValueTrait, LazyValue};
use values::{SCHEMA, Subject, subjects};

/// Batches of random values for each type and property.
const CASES: u32 = 20;
/// Values of a batch.
const BATCH: usize = 40;

#[test]
fn json_is_what_postgres_prints_and_parameters_mean_what_postgres_reads() {
    let server = support::Postgres::start("");
    let mut client = connect(&server);
    client.batch_execute(SCHEMA).unwrap();
    let mut faults = Vec::new();
    for subject in subjects() {
        if let Err(fault) = columns_agree(&mut client, &subject) {
            faults.push(format!("{}: {fault}", subject.sql));
        }
        if subject.takes_text
            && let Err(fault) = texts_agree(&mut client, &subject)
        {
            faults.push(format!("{} from text: {fault}", subject.sql));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n\n")
    );
}

/// A session under the settings of which the encoder speaks.
fn connect(server: &support::Postgres) -> Client {
    let mut config: postgres::Config = server.url().parse().expect("its URL");
    config
        .options("-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c bytea_output=hex");
    config
        .connect(NoTls)
        .expect("the server accepts connections")
}

/// Our JSON of a column is Postgres' JSON, and decodes to the same value again.
fn columns_agree(client: &mut Client, subject: &Subject) -> Result<(), String> {
    let sql = &subject.sql;
    let rows = format!(
        "select v, v::text, row_to_json(t)::text from (select unnest($1::text[])::{sql} as v) t"
    );
    let rows = client.prepare(&rows).unwrap();
    let back = client
        .prepare(&format!("select ($1::{sql})::text"))
        .unwrap();
    let ty = rows.columns()[0].type_().clone();
    let encoder = Encoder::resolve(&ty).map_err(|fault| fault.to_string())?;
    let decoder = Decoder::resolve(&back.params()[0]).map_err(|fault| fault.to_string())?;
    let numbers = match sql.trim_end_matches("[]") {
        "float4" => Numbers::Float4,
        "float8" => Numbers::Float8,
        _ => Numbers::Exact,
    };
    let batches = vec(
        proptest::option::weighted(0.9, subject.literals.clone()),
        1..BATCH,
    );
    run(&batches, |literals| {
        for row in client.query(&rows, &[&literals]).map_err(describe)? {
            let Raw(raw) = row.get(0);
            let (text, theirs): (Option<String>, String) = (row.get(1), row.get(2));
            let mut ours = Vec::new();
            encoder
                .encode(raw, &mut ours)
                .map_err(|fault| fault.to_string())?;
            let ours = String::from_utf8(ours).map_err(|fault| fault.to_string())?;
            let object = format!("{{\"v\":{ours}}}");
            if !same_json(&object, &theirs, numbers) {
                return Err(format!("{text:?} is {object}, row_to_json says {theirs}"));
            }
            if subject.json_round_trip && ours != "null" {
                let again = through_json(client, &back, &decoder, &ours)?;
                if again != text {
                    return Err(format!("{ours} came back as {again:?}, was {text:?}"));
                }
            }
        }
        Ok(())
    })
}

/// What the decoder takes means what Postgres reads from the same text, and Postgres takes it too.
fn texts_agree(client: &mut Client, subject: &Subject) -> Result<(), String> {
    let sql = &subject.sql;
    let cast = client
        .prepare("select try_cast(l, $2) from unnest($1::text[]) l")
        .unwrap();
    let back = client
        .prepare(&format!("select ($1::{sql})::text"))
        .unwrap();
    let decoder = Decoder::resolve(&back.params()[0]).map_err(|fault| fault.to_string())?;
    // As they are, which the decoder must take, and with a few characters changed.
    let edits = vec(
        (
            any::<prop::sample::Index>(),
            any::<u8>(),
            prop::sample::select(EDITS),
        ),
        0..3,
    );
    let batches = vec((subject.literals.clone(), edits), 1..BATCH);
    run(&batches, |edited| {
        let literals: Vec<String> = edited
            .iter()
            .map(|(literal, edits)| edit(literal, edits))
            .collect();
        let rows = client.query(&cast, &[&literals, sql]).map_err(describe)?;
        for ((literal, (_, edits)), row) in literals.iter().zip(&edited).zip(rows) {
            let theirs: Option<String> = row.get(0);
            let mut raw = Vec::new();
            match decoder.text(literal, &mut raw) {
                Err(fault) if edits.is_empty() && theirs.is_some() => {
                    return Err(format!("{literal:?} is {theirs:?}, we say {}", fault.kind));
                }
                Err(_) => {}
                Ok(()) => {
                    let ours = send(client, &back, raw);
                    let agree = match (&ours, &theirs) {
                        (Ok(ours), Some(_)) => *ours == theirs,
                        (Err(fault), None) => {
                            sql.ends_with("range") && fault.contains("22000") || sql == "count_of"
                        }
                        _ => false,
                    };
                    if !agree {
                        return Err(format!("{literal:?} is {theirs:?}, through us {ours:?}"));
                    }
                }
            }
        }
        Ok(())
    })
}

/// Characters that mean something to some type.
const EDITS: &[char] = &[
    '0', '1', '9', '-', '+', '.', ':', ' ', 'e', 'E', 'T', 'Z', 'P', 'x', '\\', '"', ',', '(', ']',
    '{', '}', '/', 'a', 'n', 'é', '_',
];

fn edit(literal: &str, edits: &[(prop::sample::Index, u8, char)]) -> String {
    let mut characters: Vec<char> = literal.chars().collect();
    for (place, how, with) in edits {
        let at = place.index(characters.len() + 1);
        match how % 3 {
            0 if at < characters.len() => drop(characters.remove(at)),
            1 if at < characters.len() => characters[at] = *with,
            _ => characters.insert(at, *with),
        }
    }
    characters.into_iter().collect()
}

fn run<S: Strategy>(
    strategy: &S,
    mut test: impl FnMut(S::Value) -> Result<(), String>,
) -> Result<(), String> {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let test = std::cell::RefCell::new(&mut test);
    TestRunner::new(config)
        .run(strategy, |values| {
            (*test.borrow_mut())(values).map_err(TestCaseError::fail)
        })
        .map_err(|fault| fault.to_string())
}

fn through_json(
    client: &mut Client,
    back: &Statement,
    decoder: &Decoder,
    json: &str,
) -> Result<Option<String>, String> {
    let mut raw = Vec::new();
    decoder
        .json(json, &mut raw)
        .map_err(|fault| format!("{json} is {}: {fault}", fault.kind))?;
    send(client, back, raw).map_err(|fault| format!("{json}: {fault}"))
}

fn send(client: &mut Client, back: &Statement, raw: Vec<u8>) -> Result<Option<String>, String> {
    client
        .query_one(back, &[&Binary(raw)])
        .map(|row| row.get(0))
        .map_err(describe)
}

fn describe(fault: postgres::Error) -> String {
    match fault.as_db_error() {
        Some(fault) => format!("{} {}", fault.code().code(), fault.message()),
        None => fault.to_string(),
    }
}

/// A parameter that is binary already.
#[derive(Debug)]
struct Binary(Vec<u8>);

impl ToSql for Binary {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

/// How numbers are compared: by their text, or by the float that they stand for.
#[derive(Clone, Copy)]
enum Numbers {
    Exact,
    Float4,
    Float8,
}

/// Compares parsed values.
fn same_json(ours: &str, theirs: &str, numbers: Numbers) -> bool {
    let parse = |text| {
        sonic_rs::from_str::<LazyValue>(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    };
    same_value(&parse(ours), &parse(theirs), numbers)
}

fn same_value(ours: &LazyValue, theirs: &LazyValue, numbers: Numbers) -> bool {
    if ours.get_type() != theirs.get_type() {
        return false;
    }
    let (a, b) = (ours.as_raw_str(), theirs.as_raw_str());
    if ours.is_array() {
        let items = |text| {
            sonic_rs::to_array_iter(text)
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        };
        let (a, b) = (items(a), items(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same_value(a, b, numbers))
    } else if ours.is_object() {
        let members = |text| {
            sonic_rs::to_object_iter(text)
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        };
        let (a, b) = (members(a), members(b));
        a.len() == b.len()
            && a.iter()
                .zip(&b)
                .all(|(a, b)| a.0 == b.0 && same_value(&a.1, &b.1, numbers))
    } else if ours.is_str() {
        sonic_rs::from_str::<String>(a).unwrap() == sonic_rs::from_str::<String>(b).unwrap()
    } else {
        match numbers {
            Numbers::Float4 if ours.is_number() => a.parse::<f32>() == b.parse::<f32>(),
            Numbers::Float8 if ours.is_number() => a.parse::<f64>() == b.parse::<f64>(),
            _ => a == b,
        }
    }
}
