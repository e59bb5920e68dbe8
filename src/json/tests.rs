//! What holds for every type, whatever bytes or text come in.

use proptest::prelude::*;
use proptest::sample::select;
use tokio_postgres::types::{Field, Kind, Type};

use super::*;

/// Every scalar type, and every way to put types together.
fn types() -> Vec<Type> {
    let make = |name: &str, kind| Type::new(name.to_owned(), 100_000, kind, "public".to_owned());
    let mood = make("mood", Kind::Enum(vec!["sad".to_owned(), "ok".to_owned()]));
    let fields = [
        ("id", Type::INT8),
        ("tags", Type::TEXT_ARRAY),
        ("mood", mood.clone()),
        ("doc", Type::JSONB),
    ];
    let fields = fields
        .into_iter()
        .map(|(name, ty)| Field::new(name.to_owned(), ty))
        .collect();
    let pair = make("pair", Kind::Composite(fields));
    let scalars = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::OID,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::NUMERIC,
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::UNKNOWN,
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
        mood.clone(),
        make("citext", Kind::Simple),
        make("label", Kind::Domain(Type::TEXT)),
    ];
    let nested = [
        Type::INT4_ARRAY,
        Type::TEXT_ARRAY,
        Type::NUMERIC_ARRAY,
        Type::JSONB_ARRAY,
        Type::INT2_VECTOR,
        Type::INT4_RANGE,
        Type::NUM_RANGE,
        Type::TSTZ_RANGE,
        Type::DATE_RANGE,
        Type::TSTZMULTI_RANGE,
        make("textrange", Kind::Range(Type::TEXT)),
        make("_pair", Kind::Array(pair.clone())),
        pair,
    ];
    scalars.into_iter().chain(nested).collect()
}

fn holds_json_as_is(ty: &Type) -> bool {
    let json = |ty: &Type| matches!(*ty, Type::JSON | Type::JSONB);
    match ty.kind() {
        Kind::Array(element) => holds_json_as_is(element),
        Kind::Composite(fields) => fields.iter().any(|field| json(field.type_())),
        _ => json(ty),
    }
}

/// Binary values that look right: big-endian words that are small, extreme, or a length.
fn binary() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => (-1i32..9).prop_map(|word| word.to_be_bytes().to_vec()),
        1 => select(&[i32::MAX, i32::MIN, -2, 10_000, 0x4000_0000][..]).prop_map(|word| word.to_be_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..5),
    ];
    let words = proptest::collection::vec(word, 0..24).prop_map(|words| words.concat());
    prop_oneof![3 => words, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

/// Text made of what means something to some type.
fn text() -> impl Strategy<Value = String> {
    let token = select(
        &[
            "1",
            "-",
            "+",
            ".",
            "e",
            "9999999999",
            "0",
            ":",
            "T",
            "Z",
            "P",
            "D",
            " ",
            "\"",
            "\\",
            "\\u00",
            "00",
            "[",
            "]",
            "{",
            "}",
            "(",
            ")",
            ",",
            "null",
            "true",
            "id",
            "tags",
            "\"id\":",
            "\"doc\":",
            "NaN",
            "inf",
            "infinity",
            "empty",
            "2026-11-21",
            "10:00",
            " BC",
            "day",
            "ago",
            "\\x",
            "/",
            "::",
            "é",
            "\u{0}",
        ][..],
    );
    prop_oneof![
        proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes that are no value of the type are a fault, never a panic; what is taken makes JSON.
    #[test]
    fn arbitrary_bytes_are_json_or_a_fault(raw in binary()) {
        for ty in types() {
            let mut out = Vec::new();
            let encoded = Encoder::resolve(&ty).unwrap().encode(Some(&raw), &mut out);
            if encoded.is_ok() && !holds_json_as_is(&ty) {
                let text = std::str::from_utf8(&out).unwrap();
                prop_assert!(cursor::check(text, false).is_ok(), "{ty}: {text}");
            }
        }
    }

    /// Text that is no value of the type is a fault, never a panic, and leaves the buffer alone;
    /// what is taken is a binary value that the encoder reads.
    #[test]
    fn arbitrary_text_is_a_value_or_a_fault(text in text()) {
        for ty in types() {
            let decoder = Decoder::resolve(&ty).unwrap();
            let encoder = Encoder::resolve(&ty).unwrap();
            for as_json in [false, true] {
                // The seam promises JSON to `json`; other text may yield nonsense, but no panic.
                let valid = !as_json || cursor::check(&text, false).is_ok();
                let mut raw = b"before".to_vec();
                let decoded = if as_json { decoder.json(&text, &mut raw) } else { decoder.text(&text, &mut raw) };
                if decoded.is_err() {
                    prop_assert_eq!(raw, b"before");
                } else if valid {
                    let mut out = Vec::new();
                    let encoded = encoder.encode(Some(&raw[6..]), &mut out);
                    prop_assert!(encoded.is_ok(), "{ty}: {text:?}: {encoded:?}");
                }
            }
        }
    }
}

fn json_fault(ty: &Type, raw: &str) -> Result<(), &'static str> {
    Decoder::resolve(ty)
        .unwrap()
        .json(raw, &mut Vec::new())
        .map_err(|fault| fault.kind)
}

fn text_fault(ty: &Type, text: &str) -> Result<(), &'static str> {
    Decoder::resolve(ty)
        .unwrap()
        .text(text, &mut Vec::new())
        .map_err(|fault| fault.kind)
}

#[test]
fn json_of_the_wrong_type_is_named() {
    let cases = [
        (Type::INT8, "\"1\"", "int_type"),
        (Type::INT8, "1.0", "int_from_float"),
        (Type::INT8, "1e2", "int_from_float"),
        (Type::INT8, "true", "int_type"),
        (Type::INT8, "null", "int_type"),
        (Type::INT2, "32768", "int_parsing_size"),
        (Type::INT8, "9223372036854775808", "int_parsing_size"),
        (Type::OID, "-1", "int_parsing_size"),
        (Type::TEXT, "1", "string_type"),
        (Type::TEXT, "\"a\\u0000b\"", "string_nul"),
        (Type::TEXT, "\"\\ud800\"", "string_unicode"),
        (Type::BOOL, "1", "bool_type"),
        (Type::BOOL, "\"true\"", "bool_type"),
        (Type::FLOAT8, "\"1.5\"", "float_type"),
        (Type::FLOAT8, "1e400", "float_parsing"),
        (Type::NUMERIC, "true", "decimal_type"),
        (Type::UUID, "1", "uuid_type"),
        (Type::UUID, "\"x\"", "uuid_parsing"),
        (Type::TIMESTAMPTZ, "1700000000", "datetime_type"),
        (Type::TIMESTAMPTZ, "\"yesterday\"", "datetime_parsing"),
        (Type::DATE, "\"2026-02-30\"", "date_parsing"),
        (Type::JSONB, "\"\\u0000\"", "json_invalid"),
        (Type::INT4_ARRAY, "1", "list_type"),
        (Type::INT4_ARRAY, "[[1],[2,3]]", "list_shape"),
        (Type::INT4_ARRAY, "[[1],2]", "list_shape"),
        (Type::INT4_ARRAY, "[[]]", "list_shape"),
        (Type::INT4_ARRAY, "[1,[2]]", "int_type"),
        (Type::INT4_ARRAY, "[1,\"2\"]", "int_type"),
        (Type::INT4_ARRAY, "[[[[[[[1]]]]]]]", "list_shape"),
        (Type::INT4_RANGE, "[1,5]", "string_type"),
        (Type::INT4_RANGE, "\"[1,x)\"", "int_parsing"),
        (Type::INT4_RANGE, "\"[1,2\"", "range_parsing"),
    ];
    for (ty, raw, kind) in cases {
        assert_eq!(json_fault(&ty, raw), Err(kind), "{ty}: {raw}");
    }
    for (ty, raw) in [
        (Type::NUMERIC, "\"1.50\""),
        (Type::NUMERIC, "1.50"),
        (Type::OID, "\"7\""),
        (Type::FLOAT8, "\"NaN\""),
        (Type::INT4_ARRAY, "[[[[[[1]]]]]]"),
        (Type::INT8, " 1 "),
        (Type::INT4_ARRAY, "[]"),
        (Type::JSON, "null"),
    ] {
        assert_eq!(json_fault(&ty, raw), Ok(()), "{ty}: {raw}");
    }
}

#[test]
fn text_of_the_wrong_type_is_named() {
    for text in ["", "+", " 1", "1 ", "1_0", "1.0", "0x1", "١"] {
        assert_eq!(
            text_fault(&Type::INT8, text),
            Err("int_parsing"),
            "{text:?}"
        );
    }
    assert_eq!(text_fault(&Type::INT2, "-32768"), Ok(()));
    assert_eq!(text_fault(&Type::INT2, "-32769"), Err("int_parsing_size"));
    assert_eq!(text_fault(&Type::BOOL, "yes"), Ok(()));
    assert_eq!(text_fault(&Type::BOOL, "2"), Err("bool_parsing"));
    assert_eq!(text_fault(&Type::NAME, &"é".repeat(31)), Ok(()));
    assert_eq!(
        text_fault(&Type::NAME, &"é".repeat(32)),
        Err("string_too_long")
    );
    assert_eq!(
        text_fault(&Type::UUID, "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8"),
        Err("uuid_parsing")
    );
    assert_eq!(
        text_fault(&Type::UUID, "{67e55044-10b1-426f-9247-bb680e5fe0c8}"),
        Ok(())
    );
    assert_eq!(
        text_fault(&Type::BYTEA, "\\x0"),
        Err("bytes_invalid_encoding")
    );
    assert_eq!(
        text_fault(&Type::BYTEA, "abc"),
        Err("bytes_invalid_encoding")
    );
    assert_eq!(text_fault(&Type::JSON, "{"), Err("json_invalid"));
    assert_eq!(text_fault(&Type::CIDR, "10.0.0.1/8"), Err("ip_any_network"));
}

#[test]
fn composite_members() {
    let pair = types().pop().unwrap();
    assert_eq!(
        json_fault(&pair, r#"{"id":1,"mood":"ok","doc":[1]}"#),
        Ok(())
    );
    assert_eq!(
        json_fault(&pair, r#"{"id":1,"extra":2}"#),
        Err("extra_forbidden")
    );
    assert_eq!(json_fault(&pair, r#"{"mood":"glad"}"#), Err("enum"));
    assert_eq!(json_fault(&pair, "[1]"), Err("dict_type"));
    let decoder = Decoder::resolve(&pair).unwrap();
    let mut raw = Vec::new();
    decoder.json(r#" {"\u0069d":1,"id":2} "#, &mut raw).unwrap();
    let mut out = Vec::new();
    Encoder::resolve(&pair)
        .unwrap()
        .encode(Some(&raw), &mut out)
        .unwrap();
    assert_eq!(out, br#"{"id":2,"tags":null,"mood":null,"doc":null}"#);
}

#[test]
fn repeated_query_parameters_make_an_array() {
    let list = |ty: &Type, items: &[&str]| {
        let mut raw = Vec::new();
        Decoder::resolve(ty)
            .unwrap()
            .text_list(items, &mut raw)
            .map_err(|fault| fault.kind)?;
        let mut out = Vec::new();
        Encoder::resolve(ty)
            .unwrap()
            .encode(Some(&raw), &mut out)
            .unwrap();
        Ok(String::from_utf8(out).unwrap())
    };
    assert_eq!(
        list(&Type::TEXT_ARRAY, &["a,b", "{}"]),
        Ok(r#"["a,b","{}"]"#.to_owned())
    );
    assert_eq!(list(&Type::TEXT_ARRAY, &[]), Ok("[]".to_owned()));
    assert_eq!(list(&Type::INT4_ARRAY, &["1", "x"]), Err("int_parsing"));
    assert_eq!(list(&Type::INT4, &["1"]), Ok("1".to_owned()));
    assert_eq!(list(&Type::INT4, &["1", "2"]), Err("too_long"));
    assert!(Decoder::resolve(&Type::INT4_ARRAY).unwrap().is_list());
    assert!(!Decoder::resolve(&Type::INT4).unwrap().is_list());
}

#[test]
fn kinds_and_names() {
    let kind = |ty: &Type| Decoder::resolve(ty).unwrap().kind();
    assert_eq!(kind(&Type::OID), ValueKind::Integer);
    assert_eq!(kind(&Type::NUMERIC), ValueKind::Number);
    assert_eq!(kind(&Type::VARCHAR), ValueKind::Text);
    assert_eq!(kind(&Type::BOOL), ValueKind::Boolean);
    assert_eq!(kind(&Type::JSONB), ValueKind::Json);
    assert_eq!(kind(&Type::TEXT_ARRAY), ValueKind::Other);
    assert_eq!(
        Decoder::resolve(&Type::TEXT_ARRAY).unwrap().name(),
        "text[]"
    );
    assert!(Decoder::resolve(&Type::POINT).is_err() && Encoder::resolve(&Type::RECORD).is_err());
}

#[test]
fn floats_that_are_no_json_numbers_are_strings() {
    for (value, expected) in [
        (1.0, "1.0"),
        (f64::NAN, "\"NaN\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
    ] {
        let mut out = Vec::new();
        Encoder::resolve(&Type::FLOAT8)
            .unwrap()
            .encode(Some(&value.to_be_bytes()), &mut out)
            .unwrap();
        assert_eq!(out, expected.as_bytes());
    }
}
