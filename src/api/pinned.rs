//! Types that `type = "…"` can pin, where Postgres can't infer them or infers another.

use tokio_postgres::types::Type;

use super::diagnostics::nearest;

/// The types by the names that Postgres gives them itself; each also as an array, `int8[]`.
const TYPES: &[(&str, Type, Type)] = &[
    ("int2", Type::INT2, Type::INT2_ARRAY),
    ("int4", Type::INT4, Type::INT4_ARRAY),
    ("int8", Type::INT8, Type::INT8_ARRAY),
    ("float4", Type::FLOAT4, Type::FLOAT4_ARRAY),
    ("float8", Type::FLOAT8, Type::FLOAT8_ARRAY),
    ("numeric", Type::NUMERIC, Type::NUMERIC_ARRAY),
    ("bool", Type::BOOL, Type::BOOL_ARRAY),
    ("text", Type::TEXT, Type::TEXT_ARRAY),
    ("varchar", Type::VARCHAR, Type::VARCHAR_ARRAY),
    ("uuid", Type::UUID, Type::UUID_ARRAY),
    ("date", Type::DATE, Type::DATE_ARRAY),
    ("time", Type::TIME, Type::TIME_ARRAY),
    ("timetz", Type::TIMETZ, Type::TIMETZ_ARRAY),
    ("timestamp", Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
    ("timestamptz", Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
    ("interval", Type::INTERVAL, Type::INTERVAL_ARRAY),
    ("json", Type::JSON, Type::JSON_ARRAY),
    ("jsonb", Type::JSONB, Type::JSONB_ARRAY),
    ("bytea", Type::BYTEA, Type::BYTEA_ARRAY),
    ("inet", Type::INET, Type::INET_ARRAY),
    ("cidr", Type::CIDR, Type::CIDR_ARRAY),
    ("macaddr", Type::MACADDR, Type::MACADDR_ARRAY),
];

/// What else people call these types.
const ALIASES: &[(&str, &str)] = &[
    ("smallint", "int2"),
    ("int", "int4"),
    ("integer", "int4"),
    ("bigint", "int8"),
    ("real", "float4"),
    ("double precision", "float8"),
    ("float", "float8"),
    ("decimal", "numeric"),
    ("boolean", "bool"),
    ("str", "text"),
    ("string", "text"),
    ("character varying", "varchar"),
    ("datetime", "timestamptz"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
];

/// The type with a name, or what to say to who wrote it.
pub(super) fn find(name: &str) -> Result<Type, String> {
    let (element, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (name, false),
    };
    if let Some((_, single, array)) = TYPES.iter().find(|(name, ..)| *name == element) {
        return Ok(if is_array {
            array.clone()
        } else {
            single.clone()
        });
    }
    let lower = element.to_ascii_lowercase();
    let alias = ALIASES
        .iter()
        .find(|(alias, _)| *alias == lower)
        .map(|(_, name)| *name);
    let names = TYPES.iter().map(|(name, ..)| *name);
    match alias.or_else(|| nearest(&lower, names.clone())) {
        Some(meant) => Err(format!(
            "did you mean \"{meant}{}\"?",
            if is_array { "[]" } else { "" }
        )),
        None => {
            let names = names.collect::<Vec<&str>>().join(" ");
            Err(format!(
                "one of {names}, or an array of it (int8[]); or cast it in the SQL"
            ))
        }
    }
}
