//! Whatever origin is sent, only what was declared is let in.

use proptest::prelude::*;
use regex::Regex;

use super::*;

/// Entries with what they mean, written down independently.
const ENTRIES: [(&str, &str); 7] = [
    ("https://shop.example", r"https://shop\.example"),
    (
        "https://*.shop.example",
        r"https://([a-z0-9_-]{1,63}\.)+shop\.example",
    ),
    (
        "http://*.example.org:8080",
        r"http://([a-z0-9_-]{1,63}\.)+example\.org:8080",
    ),
    ("http://localhost:*", r"http://localhost(:[1-9][0-9]{0,4})?"),
    (
        "https://*.local.example:*",
        r"https://([a-z0-9_-]{1,63}\.)+local\.example(:[1-9][0-9]{0,4})?",
    ),
    ("http://[::1]:*", r"http://\[::1\](:[1-9][0-9]{0,4})?"),
    ("app://shop", "app://shop"),
];

/// Ports that match the expressions above and that no browser sends.
fn is_unwritten(origin: &str) -> bool {
    let port = origin
        .rsplit(':')
        .next()
        .and_then(|port| port.parse::<u32>().ok());
    match port {
        Some(80) => origin.starts_with("http:"),
        Some(443) => origin.starts_with("https:"),
        Some(port) => port > 65535,
        None => false,
    }
}

fn origin_of_pieces() -> impl Strategy<Value = Vec<u8>> {
    // Mostly what may be let in, so that the rest of the origin decides.
    let scheme = prop_oneof![
        4 => prop::sample::select(vec!["https://", "http://"]),
        1 => prop::sample::select(vec!["app://", "HTTPS://", "//", ""]),
    ];
    let label = prop::sample::select(vec![
        "a.",
        "b-c.",
        "_.",
        ".",
        "*.",
        "evil",
        "A.",
        "\u{e9}.",
        "x@",
        "a.",
        "evil.example/",
    ]);
    let name = prop::sample::select(vec![
        "shop.example",
        "example.org",
        "localhost",
        "local.example",
        "[::1]",
        "shop",
        "null",
        "shop.example.evil.example",
    ]);
    let port = prop_oneof![
        2 => Just(""),
        1 => Just(":8080"),
        2 => prop::sample::select(vec![
            ":80", ":443", ":1", ":65535", ":65536", ":99999", ":0", ":", ":01", ":8080:1", "/",
            ".", ",x", " ",
        ]),
    ];
    let noise = prop_oneof![
        8 => Just(None),
        1 => (any::<prop::sample::Index>(), prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()]).prop_map(Some),
    ];
    let labels = prop::collection::vec(label, 0..3).prop_map(|labels| labels.concat());
    (scheme, labels, name, port, noise).prop_map(|(scheme, labels, name, port, noise)| {
        let mut origin = [scheme, &labels, name, port].concat().into_bytes();
        if let Some((place, octet)) = noise {
            let place = place.index(origin.len() + 1);
            origin.insert(place, octet);
        }
        origin
    })
}

/// Each line of what is sent, with its value.
fn lines_of(lines: &[u8]) -> Vec<(String, Vec<u8>)> {
    let text = lines.strip_suffix(b"\r\n").unwrap();
    let parts: Vec<&[u8]> = bytes_split(text, b"\r\n");
    let pair = |line: &[u8]| {
        let colon = line.windows(2).position(|two| two == b": ").unwrap();
        let name = String::from_utf8(line[..colon].to_vec()).unwrap();
        assert!(
            name.bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet == b'-')
        );
        let value = line[colon + 2..].to_vec();
        assert!(value.iter().all(|octet| (b' '..=b'~').contains(octet)));
        (name, value)
    };
    parts.into_iter().map(pair).collect()
}

fn bytes_split<'b>(bytes: &'b [u8], by: &[u8]) -> Vec<&'b [u8]> {
    match bytes.windows(by.len()).position(|window| window == by) {
        None => vec![bytes],
        Some(at) => {
            let mut parts = vec![&bytes[..at]];
            parts.extend(bytes_split(&bytes[at + by.len()..], by));
            parts
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_origin_that_was_not_declared_is_never_let_in(
        chosen in prop::sample::subsequence((0..ENTRIES.len()).collect::<Vec<_>>(), 1..ENTRIES.len()),
        origin in prop_oneof![
            4 => origin_of_pieces(),
            1 => prop::collection::vec(any::<u8>(), 0..40),
        ],
        credentials: bool,
    ) {
        let origins = chosen.iter().map(|&index| Origin::parse(ENTRIES[index].0).unwrap()).collect();
        let cors = Cors::new(&Settings {
            origins: Origins::Listed { origins, credentials },
            exposed: names(false, &["x-request-id"]),
            ..settings(&["*"])
        });
        let declared = std::str::from_utf8(&origin).is_ok_and(|origin| {
            !is_unwritten(origin) && chosen.iter().any(|&index| {
                Regex::new(&format!(r"\A(?:{})\z", ENTRIES[index].1)).unwrap().is_match(origin)
            })
        });
        let actual = lines_of(&cors.lines(&origin));
        let value_of = |lines: &[(String, Vec<u8>)], wanted: &str| {
            lines.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        };
        let expected = declared.then(|| origin.clone());
        prop_assert_eq!(value_of(&actual, "access-control-allow-origin"), expected.clone());
        prop_assert_eq!(value_of(&actual, "vary"), Some(b"origin".to_vec()));
        let credited = value_of(&actual, "access-control-allow-credentials");
        prop_assert_eq!(credited.is_some(), declared && credentials);
        prop_assert_eq!(actual.len(), if declared { 3 + usize::from(credentials) } else { 1 });
        let preflight = cors.allow_origin(&origin).map(|line| lines_of(&line));
        prop_assert_eq!(preflight.and_then(|lines| value_of(&lines, "access-control-allow-origin")), expected);
    }

    #[test]
    fn with_everybody_let_in_no_origin_is_repeated(origin in origin_of_pieces()) {
        let cors = Cors::new(&settings(&["*"]));
        for (name, value) in lines_of(&cors.lines(&origin)) {
            prop_assert!(matches!((name.as_str(), &value[..]),
                ("access-control-allow-origin", b"*") | ("vary", b"origin")));
        }
        let line = cors.allow_origin(&origin).unwrap_or_default();
        prop_assert!(line.is_empty() || line == b"access-control-allow-origin: *\r\n");
    }
}
