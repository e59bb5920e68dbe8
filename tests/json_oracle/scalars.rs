//! Random literals of every type without inner structure, edge cases among them.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;

pub fn scalars() -> Vec<(&'static str, BoxedStrategy<String>)> {
    vec![
        ("bool", words(&["t", "f", "true", "no", "1"])),
        (
            "int2",
            any::<i16>().prop_map(|value| value.to_string()).boxed(),
        ),
        (
            "int4",
            any::<i32>().prop_map(|value| value.to_string()).boxed(),
        ),
        ("int8", integers()),
        (
            "oid",
            any::<u32>().prop_map(|value| value.to_string()).boxed(),
        ),
        ("float4", float4()),
        ("float8", float8()),
        ("numeric", numeric()),
        ("text", text()),
        ("varchar", text()),
        ("bpchar", text()),
        ("citext", text()),
        ("label", text()),
        ("label_of_label", text()),
        ("name", regex("[a-zé\"\\\\ ]{0,30}")),
        ("\"char\"", regex("[ -~]?")),
        ("mood", words(&["sad", "so \"so\"", "it's \\ ok", "größe"])),
        ("count_of", integers()),
        (
            "uuid",
            any::<u128>()
                .prop_map(|bits| uuid::Uuid::from_u128(bits).to_string())
                .boxed(),
        ),
        ("date", date()),
        ("time", clock()),
        (
            "timetz",
            (clock(), offset())
                .prop_map(|(clock, offset)| clock + &offset)
                .boxed(),
        ),
        ("timestamp", timestamp("")),
        ("timestamptz", timestamp("+00")),
        ("interval", interval()),
        ("json", json()),
        ("jsonb", json()),
        (
            "bytea",
            vec(any::<u8>(), 0..40)
                .prop_map(|bytes| hex(&bytes))
                .boxed(),
        ),
        ("inet", inet()),
        ("cidr", cidr()),
        ("macaddr", mac(6)),
        ("macaddr8", mac(8)),
    ]
}

pub fn words(words: &'static [&'static str]) -> BoxedStrategy<String> {
    select(words).prop_map(str::to_owned).boxed()
}

fn regex(pattern: &str) -> BoxedStrategy<String> {
    string_regex(pattern).unwrap().boxed()
}

/// Values with a tenth of edge cases.
fn with_edges(
    values: impl Strategy<Value = String> + 'static,
    edges: &'static [&'static str],
) -> BoxedStrategy<String> {
    prop_oneof![4 => values, 1 => words(edges)].boxed()
}

pub fn integers() -> BoxedStrategy<String> {
    let values = any::<i64>().prop_map(|value| value.to_string());
    with_edges(
        values,
        &[
            "0",
            "-1",
            "9007199254740993",
            "9223372036854775807",
            "-9223372036854775808",
        ],
    )
}

fn float4() -> BoxedStrategy<String> {
    let values = any::<u32>().prop_map(|bits| format!("{:e}", f32::from_bits(bits)));
    let small = (-1e6f32..1e6).prop_map(|value| value.to_string());
    with_edges(
        prop_oneof![values, small],
        &[
            "0",
            "-0",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e6",
            "100000",
            "1e-45",
        ],
    )
}

fn float8() -> BoxedStrategy<String> {
    let values = any::<u64>().prop_map(|bits| format!("{:e}", f64::from_bits(bits)));
    let small = (-1e6f64..1e6).prop_map(|value| value.to_string());
    with_edges(
        prop_oneof![values, small],
        &[
            "0",
            "-0",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e15",
            "1e14",
            "0.1",
            "5e-324",
            "1.7976931348623157e308",
        ],
    )
}

pub fn numeric() -> BoxedStrategy<String> {
    with_edges(
        regex(
            "-?[0-9]{1,40}(\\.[0-9]{1,40})?|-?0\\.0{0,20}[0-9]{1,9}|[1-9]0{0,30}|-?[0-9]{1,9}(\\.[0-9]{1,9})?[eE][+-]?[0-9]{1,3}",
        ),
        &[
            "0",
            "0.000",
            "-0.0",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e1000",
            "1e-1000",
            "10000",
            "0.0001",
            "9999.9999",
        ],
    )
}

/// Any characters but NUL: control characters, quotes, astral ones.
pub fn text() -> BoxedStrategy<String> {
    let character = prop_oneof![
        4 => select(&['a', 'Z', ' ', '"', '\\', '\n', '\t', ',', '(', ']', '{', '}', '\u{1}', '\u{7f}', 'é', '€', '😀', '\''][..]),
        1 => any::<char>().prop_filter("no NUL", |&character| character != '\0'),
    ];
    let words = vec(character, 0..12).prop_map(|characters| characters.into_iter().collect());
    with_edges(
        words,
        &[
            "",
            "null",
            "NULL",
            " ",
            "\\",
            "\"",
            "{}",
            "empty",
            "ends in space ",
        ],
    )
}

fn date() -> BoxedStrategy<String> {
    let values = (1..5_874_897i32, 1..13, 1..29)
        .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"));
    let near = (1..4713, 1..13, 1..29, select(&["", " BC"][..]))
        .prop_map(|(year, month, day, era)| format!("{year:04}-{month:02}-{day:02}{era}"));
    with_edges(
        prop_oneof![values, near],
        &[
            "infinity",
            "-infinity",
            "4714-11-24 BC",
            "5874897-12-31",
            "2000-02-29",
            "0001-01-01",
            "0001-12-31 BC",
        ],
    )
}

fn clock() -> BoxedStrategy<String> {
    let values = (0..24, 0..60, 0..60, 0..1_000_000).prop_map(|(hour, minute, second, micros)| {
        format!("{hour:02}:{minute:02}:{second:02}.{micros:06}")
    });
    let whole = (0..24, 0..60, 0..60)
        .prop_map(|(hour, minute, second)| format!("{hour:02}:{minute:02}:{second:02}"));
    with_edges(
        prop_oneof![values, whole],
        &[
            "00:00:00",
            "24:00:00",
            "23:59:59.999999",
            "12:30",
            "10:00:00.1",
            "23:59:60",
        ],
    )
}

fn offset() -> BoxedStrategy<String> {
    let whole = (0..16).prop_map(|hour| format!("-{hour:02}"));
    let minutes = (0..16, 0..60).prop_map(|(hour, minute)| format!("+{hour:02}:{minute:02}"));
    let seconds = (0..16, 0..60, 0..60)
        .prop_map(|(hour, minute, second)| format!("-{hour:02}:{minute:02}:{second:02}"));
    prop_oneof![whole, minutes, seconds, words(&["Z", "+00", "-0330"])].boxed()
}

pub fn timestamp(offset: &'static str) -> BoxedStrategy<String> {
    let era = select(&["", " BC"][..]);
    let values =
        (1..4713, 1..13, 1..29, clock(), era).prop_map(move |(year, month, day, clock, era)| {
            format!("{year:04}-{month:02}-{day:02} {clock}{offset}{era}")
        });
    let far = (2000..294_276, 1..13, 1..29, clock()).prop_map(move |(year, month, day, clock)| {
        format!("{year}-{month:02}-{day:02}T{clock}{offset}")
    });
    with_edges(
        prop_oneof![values, far],
        &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "2026-11-21",
        ],
    )
}

fn interval() -> BoxedStrategy<String> {
    let micros = -1_000_000_000_000_000i64..1_000_000_000_000_000;
    let values =
        (-100_000..100_000, -100_000..100_000, micros).prop_map(|(months, days, micros)| {
            format!("{months} mons {days} days {micros} microseconds")
        });
    let small = (-30..30, -3..3, -90..90)
        .prop_map(|(months, days, minutes)| format!("{months} mons {days} days {minutes} min"));
    let iso = (-9..30, -9..30, -90..90, -90..90, 0..1000).prop_map(
        |(years, months, days, hours, millis)| {
            format!("P{years}Y{months}M{days}DT{hours}H5M6.{millis:03}S")
        },
    );
    with_edges(
        prop_oneof![values, small, iso],
        &[
            "00:00:00",
            "1 day",
            "-1 days +02:03:04",
            "1 year 2 mons ago",
            "1.5 days",
            "2.25 weeks",
            "0.7 hours",
            "178000000 years",
            "P1W",
            "PT0.000001S",
            "PT9999999999S",
            "9999999999 seconds",
            "P10.6M",
            "1.3 months",
            "1.21 years",
            "-00:00:00.5",
            "-1.5 days 10:00",
        ],
    )
}

/// JSON documents that are not bare nulls, which an array could not tell from NULL.
pub fn json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        words(&[
            "true",
            "false",
            "1.50",
            "-0",
            "1e3",
            "12345678901234567890",
            "\"\\u00e9\\ud83d\\ude00\"",
            "\" \\n\\\"\""
        ]),
        text().prop_map(|text| sonic_rs::to_string(&text).unwrap()),
        any::<i32>().prop_map(|value| value.to_string()),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let members = vec((regex("[a-c\"é]{1,3}"), inner.clone()), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(
                |items| format!("[{}, null]", items.join(" , ")).replace("[, null]", "[]")
            ),
            members.prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{}: {value}", sonic_rs::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
    .boxed()
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{digits}")
}

fn ipv6() -> BoxedStrategy<Ipv6Addr> {
    // Mostly zero groups, so that every way to shorten an address comes up.
    let group = prop_oneof![3 => Just(0u16), 1 => any::<u16>(), 1 => select(&[1, 0xFFFF][..])];
    vec(group, 8)
        .prop_map(|groups| <[u16; 8]>::try_from(groups).unwrap().into())
        .boxed()
}

fn inet() -> BoxedStrategy<String> {
    let v4 =
        (any::<u32>(), 0..33).prop_map(|(bits, len)| format!("{}/{len}", Ipv4Addr::from(bits)));
    let v6 = (ipv6(), 0..129).prop_map(|(address, len)| format!("{address}/{len}"));
    let plain = ipv6().prop_map(|address| address.to_string());
    with_edges(
        prop_oneof![v4, v6, plain],
        &[
            "10.0.0.1",
            "::",
            "::1",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "0.0.0.0/0",
        ],
    )
}

fn cidr() -> BoxedStrategy<String> {
    let v4 = (any::<u32>(), 0..33u32).prop_map(|(bits, len)| {
        let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
        format!("{}/{len}", Ipv4Addr::from(bits & mask))
    });
    let v6 = (ipv6(), 0..129u32).prop_map(|(address, len)| {
        let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
        format!("{}/{len}", Ipv6Addr::from(u128::from(address) & mask))
    });
    with_edges(
        prop_oneof![v4, v6],
        &["10.0.0.0", "::", "0.0.0.0/0", "::/0", "224.0.0.0"],
    )
}

fn mac(len: usize) -> BoxedStrategy<String> {
    vec(any::<u8>(), len)
        .prop_map(|bytes| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(":")
        })
        .boxed()
}
