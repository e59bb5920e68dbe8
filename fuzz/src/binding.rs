//! Parameters: whatever a request says, each value is in the binary form of its type or there is a
//! fault with a reason, and no text ever holds a NUL.

use std::sync::OnceLock;

use pinion::api::{self, BindFault, Bound, Detail, Input, Plan};
use pinion::json::{DecodeFault, Decoder, Encoder};
use postgres_protocol::types as oracle;
use tokio_postgres::types::{Field, Kind, Type};

/// Where the value of a parameter stands.
const PLACES: [&str; 5] = [
    "in = \"query\"",
    "in = \"header\", name = \"X-Value\"",
    "in = \"body\"",
    "in = \"body\", whole = true",
    "in = \"path\"",
];

/// All of it for one input: which type, where the value stands, and the value.
pub fn check(input: &[u8]) {
    let Some((&[ty, place], value)) = input.split_first_chunk() else {
        return;
    };
    let types = types();
    let ty = usize::from(ty) % types.len();
    let place = usize::from(place) % PLACES.len();
    // Not every type may stand in every place.
    let Some(plan) = &plans()[ty * PLACES.len() + place] else {
        return;
    };
    let bound = request(plan, place, value);
    let ty = &types[ty];
    match bound {
        Ok(Some(bytes)) => is_of_type(ty, &bytes),
        Ok(None) => panic!("it is not nullable"),
        Err(BindFault::MediaType) => panic!("the media type is right"),
        Err(BindFault::ContentCoding | BindFault::Claims(_)) => panic!("there is none"),
        Err(BindFault::Malformed(reason)) => assert!(!reason.is_empty()),
        Err(BindFault::Invalid(details)) => {
            assert!(!details.is_empty());
            let mut list = Vec::new();
            Detail::write_all(&details, &mut list);
            let list: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
            assert_eq!(list.as_array().map(Vec::len), Some(details.len()));
        }
    }
    if let Ok(text) = std::str::from_utf8(value) {
        directly(ty, text);
    }
}

fn request(plan: &Plan, place: usize, value: &[u8]) -> Result<Option<Vec<u8>>, BindFault> {
    // What stands in a target passes the parser in ASCII only.
    let target: String = value.iter().copied().map(ascii).collect();
    let query = format!("value={target}");
    let captures = [target.as_str()];
    let header = |name: &str| (place == 1 && name.eq_ignore_ascii_case("x-value")).then_some(value);
    let input = Input {
        captures: if place == 4 { &captures } else { &[] },
        query: (place == 0).then_some(query.as_str()),
        header: &header,
        content_type: Some(b"application/json"),
        body: if place == 2 || place == 3 { value } else { b"" },
        claim: &|_| None,
    };
    let mut bound = Bound::default();
    plan.bind(&input, &mut bound)?;
    assert_eq!(bound.values.len(), 1);
    Ok(bound.value(0).map(<[u8]>::to_vec))
}

fn ascii(octet: u8) -> char {
    match octet {
        0x21..=0x7e if octet != b'#' => char::from(octet),
        _ => '%',
    }
}

/// The decoder alone: after a fault nothing is left behind, and what it takes has the type's form.
fn directly(ty: &Type, text: &str) {
    let decoder = Decoder::resolve(ty).expect("every type here is known");
    left_behind(ty, text, |out| decoder.text(text, out));
    // The second takes only what is JSON.
    if serde_json::from_str::<serde_json::Value>(text).is_ok() {
        left_behind(ty, text, |out| decoder.json(text, out));
    }
}

fn left_behind(
    ty: &Type,
    text: &str,
    decode: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeFault>,
) {
    let mut out = b"before".to_vec();
    match decode(&mut out) {
        Ok(()) => {
            let bytes = out.strip_prefix(b"before").expect("it appends");
            // The json type takes every escape; a request is asked about them before.
            if !text.contains("\\u0000") {
                is_of_type(ty, bytes);
            }
            assert!(!text.contains('\0'));
        }
        Err(fault) => {
            assert_eq!(out, b"before");
            assert!(!fault.kind.is_empty() && !fault.message.is_empty());
        }
    }
}

/// Checks the binary form of a value: by the encoder, whose JSON decodes to the same form again, and
/// by how a library of its own reads it.
fn is_of_type(ty: &Type, bytes: &[u8]) {
    let mut json = Vec::new();
    let encoder = Encoder::resolve(ty).expect("every type here is known");
    let encoded = encoder.encode(Some(bytes), &mut json);
    assert_eq!(encoded, Ok(()), "{ty} {bytes:?}");
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    if let Err(fault) = serde_json::from_str::<serde_json::Value>(&json) {
        let range = fault.to_string().contains("number out of range");
        assert!(range, "{ty}: {json}: {fault}");
    }
    // An element that is json null comes back as NULL, and a json text without the space around it.
    if !ty.name().contains("json") && *ty != composite() {
        let mut again = Vec::new();
        let decoder = Decoder::resolve(ty).expect("every type here is known");
        let decoded = decoder.json(&json, &mut again);
        assert_eq!(decoded, Ok(()), "{ty}: {json}");
        assert_eq!(again, bytes, "{ty}: {json}");
    }
    assert!(oracle_reads(ty, bytes), "{ty}: {bytes:?}");
}

fn oracle_reads(ty: &Type, bytes: &[u8]) -> bool {
    match ty.kind() {
        Kind::Array(_) => oracle::array_from_sql(bytes).is_ok(),
        Kind::Range(_) => oracle::range_from_sql(bytes).is_ok(),
        Kind::Enum(labels) => labels.iter().any(|label| label.as_bytes() == bytes),
        Kind::Simple => match *ty {
            Type::BOOL => oracle::bool_from_sql(bytes).is_ok(),
            Type::INT2 => oracle::int2_from_sql(bytes).is_ok(),
            Type::INT4 => oracle::int4_from_sql(bytes).is_ok(),
            Type::INT8 => oracle::int8_from_sql(bytes).is_ok(),
            Type::FLOAT4 => oracle::float4_from_sql(bytes).is_ok(),
            Type::FLOAT8 => oracle::float8_from_sql(bytes).is_ok(),
            Type::UUID => oracle::uuid_from_sql(bytes).is_ok(),
            Type::DATE => oracle::date_from_sql(bytes).is_ok(),
            Type::TIME => oracle::time_from_sql(bytes).is_ok(),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => oracle::timestamp_from_sql(bytes).is_ok(),
            Type::INET | Type::CIDR => oracle::inet_from_sql(bytes).is_ok(),
            Type::MACADDR => oracle::macaddr_from_sql(bytes).is_ok(),
            Type::JSONB => bytes.first() == Some(&1) && is_text(&bytes[1..]),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::JSON => is_text(bytes),
            _ => true,
        },
        _ => true,
    }
}

/// What a text of Postgres is: UTF-8 without NUL.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

/// Every scalar type, and each way to put types together.
fn types() -> &'static [Type] {
    static TYPES: OnceLock<Vec<Type>> = OnceLock::new();
    TYPES.get_or_init(|| {
        vec![
            Type::TEXT,
            Type::INT8,
            Type::BOOL,
            Type::INT2,
            Type::INT4,
            Type::OID,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::NUMERIC,
            Type::VARCHAR,
            Type::NAME,
            Type::CHAR,
            Type::UUID,
            Type::DATE,
            Type::TIME,
            Type::TIMETZ,
            Type::TIMESTAMP,
            Type::TIMESTAMPTZ,
            Type::INTERVAL,
            Type::JSON,
            Type::JSONB,
            Type::BYTEA,
            Type::INET,
            Type::CIDR,
            Type::MACADDR,
            Type::MACADDR8,
            mood(),
            Type::TEXT_ARRAY,
            Type::INT8_ARRAY,
            Type::NUMERIC_ARRAY,
            Type::TIMESTAMPTZ_ARRAY,
            Type::JSONB_ARRAY,
            Type::INT8_RANGE,
            Type::NUM_RANGE,
            Type::TSTZ_RANGE,
            Type::DATEMULTI_RANGE,
            composite(),
        ]
    })
}

fn mood() -> Type {
    let labels = ["sad", "so \"so\"", "größe"].map(str::to_owned);
    made("mood", Kind::Enum(labels.to_vec()))
}

fn composite() -> Type {
    let fields = [
        ("id", Type::INT8),
        ("say \"hi\"", Type::TEXT),
        ("tags", Type::TEXT_ARRAY),
        ("mood", mood()),
        ("doc", Type::JSONB),
    ];
    let fields = fields.map(|(name, ty)| Field::new(name.to_owned(), ty));
    made("pair", Kind::Composite(fields.to_vec()))
}

fn made(name: &str, kind: Kind) -> Type {
    // The first OID that Postgres gives to what users make.
    Type::new(name.to_owned(), 16_384, kind, "public".to_owned())
}

/// A plan for each type in each place.
fn plans() -> &'static [Option<Plan>] {
    static PLANS: OnceLock<Vec<Option<Plan>>> = OnceLock::new();
    PLANS.get_or_init(|| {
        let pairs = types()
            .iter()
            .flat_map(|ty| PLACES.map(|place| (ty, place)));
        pairs.map(|(ty, place)| plan(ty, place)).collect()
    })
}

fn plan(ty: &Type, place: &str) -> Option<Plan> {
    let is_json = *ty == Type::JSON || *ty == Type::JSONB;
    let is_array = matches!(ty.kind(), Kind::Array(_));
    let one_value = place.contains("header") || place.contains("path");
    if (place.contains("whole") && !is_json) || (one_value && is_array) {
        return None;
    }
    let path = if place.contains("path") {
        "/r/{value}"
    } else {
        "/r"
    };
    let file = format!(
        "[[route]]\nname = \"r\"\nmethod = \"POST\"\npath = \"{path}\"\nresult = \"exec\"\n\
         sql = \"select f(:value)\"\n[route.params]\nvalue = {{ {place} }}\n"
    );
    let api = api::load("routes.toml", &file).unwrap_or_else(|faults| panic!("{faults}"));
    let planned = api.routes[0].plan(&api, std::slice::from_ref(ty), &[]);
    Some(planned.unwrap_or_else(|faults| panic!("{place} {ty}: {}", faults[0])))
}
