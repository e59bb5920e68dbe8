//! RFC 3986, targets, and RFC 8259, JSON: what is read as which text, and what is none.

use super::table::{Row, Written, fill, read, row};

pub fn rows() -> Vec<Row> {
    let documents = DOCUMENTS
        .iter()
        .map(|&(section, must, body, answers, fields)| {
            let length = body.replace("{FF}", "x").len();
            let sent =
                format!("POST /document HTTP/1.1\r\n{{J}}Content-Length: {length}\r\n{{E}}{body}");
            row(section, must, fill(&sent), answers, fields)
        });
    read(TARGETS).into_iter().chain(documents).collect()
}

#[rustfmt::skip]
const TARGETS: &[Written] = &[
    ("3986 §2.1", "digits of both cases", "GET /echo/%c3%A9 HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"\u{e9}\",\"query\":null,\"header\":null}")]),
    ("3986 §2.1", "a percent of which the digits are missing", "GET /echo/% HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.1", "a percent with one digit", "GET /echo/%4 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.1", "a percent with letters that are no digits", "GET /echo/%zz HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.1", "a percent twice", "GET /echo/%%41 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.1", "a percent in a path that is not there", "GET /nowhere/%zz HTTP/1.1\r\n{E}", "404", &[]),
    ("3986 §2.1", "in a query", "GET /echo/x?query=%4 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.1", "in the name of a query", "GET /echo/x?%zz=1 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.1", "nothing is decoded twice", "GET /echo/%2541 HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"%41\",\"query\":null,\"header\":null}")]),
    ("3986 §2.2", "an encoded slash divides nothing", "GET /echo/a%2Fb HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"a/b\",\"query\":null,\"header\":null}")]),
    ("3986 §2.2", "an encoded slash makes no path", "GET /echo%2Fx HTTP/1.1\r\n{E}", "404", &[]),
    ("3986 §2.2", "an encoded question mark begins no query", "GET /echo/a%3Fquery=b HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"a?query=b\",\"query\":null,\"header\":null}")]),
    ("3986 §2.2", "an encoded ampersand divides nothing", "GET /echo/x?query=a%26b HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"x\",\"query\":\"a&b\",\"header\":null}")]),
    ("3986 §2.3", "letters mean the same encoded", "GET /%65ch%6F/x HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"x\",\"query\":null,\"header\":null}")]),
    ("3986 §2.5", "UTF-8 that is none", "GET /echo/%FF HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.5", "UTF-8 that is cut off", "GET /echo/%C3 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.5", "UTF-8 in more octets than it needs", "GET /echo/%C0%AF HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.5", "UTF-8 of half a surrogate pair", "GET /echo/%ED%A0%80 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.5", "UTF-8 that is none, in a query", "GET /echo/x?query=%FF HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §2.5", "UTF-8 that is none, in a name", "GET /echo/x?%FF=1 HTTP/1.1\r\n{E}", "400", &[]),
    ("3986 §3.3", "dot segments are resolved by who sends", "GET /echo/../health HTTP/1.1\r\n{E}", "404", &[]),
    ("3986 §3.3", "encoded ones are segments too", "GET /echo/%2e%2e HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"..\",\"query\":null,\"header\":null}")]),
    ("3986 §3.3", "an empty segment is one", "GET /echo/ HTTP/1.1\r\n{E}", "404", &[]),
    ("3986 §3.3", "a path is case-sensitive", "GET /HEALTH HTTP/1.1\r\n{E}", "404", &[]),
    ("3986 §3.3", "a plus in a path is a plus", "GET /echo/a+b HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"a+b\",\"query\":null,\"header\":null}")]),
    ("3986 §3.3", "parameters of a segment are its text", "GET /echo/a;b=c HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"a;b=c\",\"query\":null,\"header\":null}")]),
    ("3986 §3.4", "a plus in a query is a space", "GET /echo/x?query=a+b%2B HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"x\",\"query\":\"a b+\",\"header\":null}")]),
    ("3986 §3.4", "a query may hold slash and question mark", "GET /echo/x?query=/?/ HTTP/1.1\r\n{E}", "200", &[("body", "{\"text\":\"x\",\"query\":\"/?/\",\"header\":null}")]),
    ("3986 §3.4", "an empty query", "GET /echo/x? HTTP/1.1\r\n{E}", "200", &[]),
    ("3986 §3.4", "a name twice", "GET /echo/x?query=1&query=2 HTTP/1.1\r\n{E}", "422", &[]),
    ("3986 §3.4", "a name that is not declared", "GET /echo/x?other=1 HTTP/1.1\r\n{E}", "422", &[]),
    ("3986 §3.2.2", "a host with percent-encoding", "GET http://caf%C3%A9/health HTTP/1.1\r\n{E}", "200", &[]),
    ("3986 §3.2.2", "a host with a percent alone", "GET http://a%/health HTTP/1.1\r\n{E}", "400!", &[]),
    ("3986 §3.2.2", "an address that is none", "GET http://[::g]/health HTTP/1.1\r\n{E}", "400!", &[]),
    ("3986 §3.2.2", "an address with a zone", "GET http://[fe80::1%25eth0]/health HTTP/1.1\r\n{E}", "400!", &[]),
    ("3986 §3.2.3", "an empty port", "GET http://a:/health HTTP/1.1\r\n{E}", "200", &[]),
    ("3986 §3.2.3", "a port with a sign", "GET http://a:+80/health HTTP/1.1\r\n{E}", "400!", &[]),
];

/// The bodies of a route that takes the whole document as jsonb.
#[rustfmt::skip]
const DOCUMENTS: &[Written] = &[
    ("8259 §2", "space around a value", " \t\r\n{\"a\" : [ 1 ] } \n", "200", &[("body", "{\"a\": [1]}")]),
    ("8259 §2", "a vertical tab is no space", "\u{b}1", "400", &[]),
    ("8259 §2", "two values", "1 2", "400", &[]),
    ("8259 §2", "no value, but space", "  ", "400", &[]),
    ("8259 §3", "any value is a document", "\"a\"", "200", &[("body", "\"a\"")]),
    ("8259 §3", "words in lower case", "True", "400", &[]),
    ("8259 §3", "words that are cut off", "tru", "400", &[]),
    ("8259 §4", "an object", "{\"a\":{\"b\":null}}", "200", &[("body", "{\"a\": {\"b\": null}}")]),
    ("8259 §4", "a name without quotes", "{a:1}", "400", &[]),
    ("8259 §4", "a name without a value", "{\"a\"}", "400", &[]),
    ("8259 §4", "a comma behind the last", "{\"a\":1,}", "400", &[]),
    ("8259 §4", "a name twice: the last is kept by jsonb", "{\"a\":1,\"a\":2}", "200", &[("body", "{\"a\": 2}")]),
    ("8259 §5", "an array", "[1,\"a\",true,[]]", "200", &[("body", "[1, \"a\", true, []]")]),
    ("8259 §5", "a comma behind the last", "[1,]", "400", &[]),
    ("8259 §5", "an array that is not closed", "[1", "400", &[]),
    ("8259 §5", "brackets that do not match", "[1}", "400", &[]),
    ("8259 §6", "a number with all its parts", "-0.5e+2", "200", &[("body", "-50")]),
    ("8259 §6", "a zero before digits", "01", "400", &[]),
    ("8259 §6", "a plus", "+1", "400", &[]),
    ("8259 §6", "no digit before the point", ".5", "400", &[]),
    ("8259 §6", "no digit after the point", "1.", "400", &[]),
    ("8259 §6", "hexadecimal", "0x10", "400", &[]),
    ("8259 §6", "NaN", "NaN", "400", &[]),
    ("8259 §6", "Infinity", "[-Infinity]", "400", &[]),
    ("8259 §6", "past 64 bits", "123456789012345678901234567890", "200", &[("body", "123456789012345678901234567890")]),
    ("8259 §6", "past what jsonb can hold", "1e131072", "422", &[]),
    ("8259 §7", "escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"", "200", &[("body", "\"\\\"\\\\/\\b\\f\\n\\r\\t\u{e9}\u{1f600}\"")]),
    ("8259 §7", "an escape that is none", "\"\\x\"", "400", &[]),
    ("8259 §7", "an escape that is cut off", "\"\\u12\"", "400", &[]),
    ("8259 §7", "a control character", "\"\n\"", "400", &[]),
    ("8259 §7", "a NUL", "\"\0\"", "400", &[]),
    ("8259 §7", "an escaped NUL", "\"a\\u0000b\"", "422", &[]),
    ("8259 §7", "an escaped NUL in a name", "{\"\\u0000\":1}", "422", &[]),
    ("8259 §7", "a backslash before what looks like one", "\"\\\\u0000\"", "200", &[("body", "\"\\\\u0000\"")]),
    ("8259 §7", "a string that is not closed", "\"a", "400", &[]),
    ("8259 §7", "single quotes", "'a'", "400", &[]),
    ("8259 §8.1", "UTF-8", "\"\u{e9}\u{1f600}\"", "200", &[("body", "\"\u{e9}\u{1f600}\"")]),
    ("8259 §8.1", "octets that are no UTF-8", "\"{FF}\"", "400", &[]),
    ("8259 §8.1", "no byte order mark", "\u{feff}1", "400", &[]),
    ("8259 §8.1", "no UTF-16", "1\0", "400", &[]),
    ("8259 §8.2", "the first half of a surrogate pair", "\"\\ud83d\"", "400", &[]),
    ("8259 §8.2", "the second half", "\"\\ude00\"", "400", &[]),
    ("8259 §8.2", "two first halves", "\"\\ud83d\\ud83d\"", "400", &[]),
    ("8259 §9", "comments", "[1/*a*/]", "400", &[]),
];
