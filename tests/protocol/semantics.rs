//! RFC 9110, HTTP semantics: fields, methods, statuses and what a client may ask for.

use super::table::{Row, Written, read};

pub fn rows() -> Vec<Row> {
    [
        FIELDS,
        ROUTING,
        REPRESENTATION,
        METHODS,
        EXPECT,
        CONDITIONS,
        RANGES,
    ]
    .into_iter()
    .flat_map(read)
    .collect()
}

#[rustfmt::skip]
const FIELDS: &[Written] = &[
    ("9110 §2.5", "a higher minor version is as 1.1", "GET /echo/x HTTP/1.2\r\n{E}", "200", &[("connection", "")]),
    ("9110 §2.5", "the highest minor version is as 1.1", "GET /health HTTP/1.9\r\n{E}", "200", &[]),
    ("9110 §5.1", "names in any case", "POST /echo HTTP/1.1\r\nhOsT: a\r\ncOnTeNt-TyPe: application/json\r\nCONTENT-LENGTH: 12\r\n\r\n{\"text\":\"a\"}", "200", &[("body", "{\"text\":\"a\"}")]),
    ("9110 §5.1", "unknown fields are ignored", "GET /health HTTP/1.1\r\nX-Unknown: a\r\nSec-Fetch-Site: b\r\n{E}", "200", &[]),
    ("9110 §5.3", "nothing is done before the whole head is there", "POST /hit/smuggled HTTP/1.1\r\n{H}X: y\r\n", "", &[]),
    ("9110 §5.5", "NUL in a value", "GET /health HTTP/1.1\r\nA: b\0c\r\n{E}", "400!", &[]),
    ("9110 §5.5", "a control octet in a value", "GET /health HTTP/1.1\r\nA: b\u{1}c\r\n{E}", "400!", &[]),
    ("9110 §5.5", "a vertical tab before a value", "GET /health HTTP/1.1\r\nA: \u{b}b\r\n{E}", "400!", &[]),
    ("9110 §5.5", "an escape in a value", "GET /health HTTP/1.1\r\nA: \u{1b}[31m\r\n{E}", "400!", &[]),
    ("9110 §5.5", "DEL in a value", "GET /health HTTP/1.1\r\nA: \u{7f}\r\n{E}", "400!", &[]),
    ("9110 §5.5", "other octets are opaque", "GET /health HTTP/1.1\r\nA: caf\u{e9} {FF}\r\n{E}", "200", &[]),
    ("9110 §5.5", "and text where they are UTF-8", "GET /echo/x HTTP/1.1\r\nX-Value: caf\u{e9}\r\n{E}", "200", &[("body", "{\"text\":\"x\",\"query\":null,\"header\":\"caf\u{e9}\"}")]),
    ("9110 §5.5", "and a fault of the value where they are not", "GET /echo/x HTTP/1.1\r\nX-Value: {FF}\r\n{E}", "422", &[]),
    ("9110 §5.5", "a tab inside a value", "GET /echo/x HTTP/1.1\r\nX-Value: a\tb\r\n{E}", "200", &[("body", "{\"text\":\"x\",\"query\":null,\"header\":\"a\\tb\"}")]),
    ("9110 §5.6.1.2", "empty elements of a list are ignored", "GET /health HTTP/1.1\r\nConnection: ,, close ,\r\n{E}", "200!", &[]),
    ("9110 §5.6.2", "a name of every tchar", "GET /health HTTP/1.1\r\n!#$%&'*+-.^_`|~0aZ: token\r\n{E}", "200", &[]),
    ("9110 §5.6.2", "a delimiter in a name: parenthesis", "GET /health HTTP/1.1\r\nA(: b\r\n{E}", "400!", &[]),
    ("9110 §5.6.2", "a delimiter in a name: quote", "GET /health HTTP/1.1\r\n\"A\": b\r\n{E}", "400!", &[]),
    ("9110 §5.6.2", "a delimiter in a name: slash", "GET /health HTTP/1.1\r\nA/B: b\r\n{E}", "400!", &[]),
    ("9110 §5.6.2", "a delimiter in a name: brace", "GET /health HTTP/1.1\r\nA{B: b\r\n{E}", "400!", &[]),
    ("9110 §5.6.2", "NUL in a name", "GET /health HTTP/1.1\r\nA\0: b\r\n{E}", "400!", &[]),
    ("9110 §5.6.2", "a name that is not ASCII", "GET /health HTTP/1.1\r\ncaf\u{e9}: b\r\n{E}", "400!", &[]),
    ("9110 §5.6.2", "0xFF in a name", "GET /health HTTP/1.1\r\n{FF}: b\r\n{E}", "400!", &[]),
    ("9110 §6.6.1", "every answer has a date", "GET /nowhere HTTP/1.1\r\n{E}", "404", &[("date", "*")]),
];

#[rustfmt::skip]
const ROUTING: &[Written] = &[
    ("9110 §4.2.1", "an http target with an empty host", "GET http:///health HTTP/1.1\r\n{E}", "400!", &[]),
    ("9110 §4.2.1", "an http target with only a port", "GET http://:80/health HTTP/1.1\r\n{E}", "400!", &[]),
    ("9110 §4.2.2", "an https target with an empty host", "GET https:///health HTTP/1.1\r\n{E}", "400!", &[]),
    ("9110 §4.2.4", "a user in a target", "GET http://user@example.com/health HTTP/1.1\r\n{E}", "400!", &[]),
    ("9110 §4.2.4", "a user and a password", "GET http://u:p@example.com/health HTTP/1.1\r\n{E}", "400!", &[]),
    ("9110 §7.1", "a fragment is no part of a target", "GET /health#a HTTP/1.1\r\n{E}", "400!", &[]),
    ("9110 §7.4", "an https target on a connection that is not secured", "GET https://example.com/health HTTP/1.1\r\n{E}", "421!", &[]),
    ("9110 §7.4", "in any case, with a method that writes", "POST HTTPS://example.com/hit/smuggled HTTP/1.1\r\n{E}", "421!", &[]),
    ("9110 §7.6.1", "options that are not known are ignored", "GET /health HTTP/1.1\r\nConnection: x, y-z\r\n{E}", "200", &[]),
    ("9110 §7.6.1", "a field that is named there is still the message's", "POST /hit/named HTTP/1.1\r\nConnection: content-length, host\r\nContent-Length: 5\r\n{E}hello", "204", &[]),
    ("9110 §7.8", "an upgrade is ignored", "GET /health HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{E}", "200", &[("upgrade", "")]),
    ("9110 §7.8", "in HTTP/1.0 it must be", "GET /health HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "200!", &[("upgrade", "")]),
    ("9110 §7.8", "beside an expectation", "POST /hit/both HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nContent-Length: 1\r\n{E}x", "204", &[]),
];

#[rustfmt::skip]
const REPRESENTATION: &[Written] = &[
    ("9110 §8.3", "a body without a type", "POST /echo HTTP/1.1\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "415", &[("accept", "application/json"), ("accept-encoding", "")]),
    ("9110 §8.3", "a body of another type", "POST /echo HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "415", &[("accept", "application/json"), ("accept-encoding", "")]),
    ("9110 §8.3", "a form", "POST /echo HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n{E}text=a", "415", &[]),
    ("9110 §8.3", "a type that only begins so", "POST /echo HTTP/1.1\r\nContent-Type: application/jsonp\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "415", &[]),
    ("9110 §8.3.1", "types in any case, with parameters", "POST /echo HTTP/1.1\r\nContent-Type: Application/JSON ; charset=\"utf-8\"\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "200", &[]),
    ("9110 §8.3.1", "types with the suffix of JSON", "POST /echo HTTP/1.1\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "200", &[]),
    ("9110 §8.4", "a body with a coding", "POST /echo HTTP/1.1\r\n{J}Content-Encoding: gzip\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "415", &[("accept-encoding", "identity"), ("accept", "")]),
    ("9110 §8.4", "a body with two codings", "POST /echo HTTP/1.1\r\n{J}Content-Encoding: deflate, br\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "415", &[("accept-encoding", "identity")]),
    ("9110 §8.4", "identity is none", "POST /echo HTTP/1.1\r\n{J}Content-Encoding: identity\r\nContent-Length: 12\r\n{E}{\"text\":\"a\"}", "200", &[]),
    ("9110 §8.6", "204 has no length", "POST /hit/no-length HTTP/1.1\r\n{E}", "204", &[("content-length", ""), ("content-type", "")]),
    ("9110 §8.7", "Content-Location is context only", "POST /hit/location HTTP/1.1\r\nContent-Location: /hit/smuggled\r\n{E}", "204", &[]),
    ("9110 §12.5.1", "Accept may be disregarded", "GET /health HTTP/1.1\r\nAccept: text/html;q=0.9, image/*\r\n{E}", "200", &[("content-type", "application/json")]),
    ("9110 §12.5.3", "no coding is applied unasked", "GET /health HTTP/1.1\r\nAccept-Encoding: gzip, br\r\n{E}", "200", &[("content-encoding", "")]),
    ("9110 §12.5.3", "nor is one that does not exist", "GET /health HTTP/1.1\r\nAccept-Encoding: x\r\n{E}", "200", &[("content-encoding", "")]),
    ("9110 §12.5.4", "languages may be disregarded", "GET /health HTTP/1.1\r\nAccept-Language: xx;q=2\r\n{E}", "200", &[]),
    ("9110 §11.6.2", "credentials that nobody asked for", "GET /health HTTP/1.1\r\nAuthorization: Basic !!\r\n{E}", "200", &[("www-authenticate", "")]),
];

#[rustfmt::skip]
const METHODS: &[Written] = &[
    ("9110 §9.1", "GET is supported", "GET /ready HTTP/1.1\r\n{E}", "200", &[("body", "{\"status\":\"ready\"}")]),
    ("9110 §9.1", "HEAD is supported", "HEAD /ready HTTP/1.1\r\n{E}", "h200", &[("content-length", "18"), ("content-type", "application/json")]),
    ("9110 §9.1", "an unknown method", "BREW /health HTTP/1.1\r\n{E}", "501!", &[]),
    ("9110 §9.1", "a method of WebDAV", "PROPFIND / HTTP/1.1\r\n{E}", "501!", &[]),
    ("9110 §9.1", "an unknown method of the server", "BREW * HTTP/1.1\r\n{E}", "501!", &[]),
    ("9110 §9.3.1", "content in GET has no meaning", "GET /echo/x HTTP/1.1\r\n{J}Content-Length: 5\r\n{E}{\"a\":", "200", &[]),
    ("9110 §9.3.2", "HEAD has the fields of GET and no content", "HEAD /echo/x HTTP/1.1\r\n{E}", "h200", &[("content-length", "39"), ("content-type", "application/json")]),
    ("9110 §9.3.2", "HEAD of what is not there", "HEAD /nowhere HTTP/1.1\r\n{E}", "h404", &[("content-type", "application/json")]),
    ("9110 §9.3.2", "HEAD of what takes no GET", "HEAD /hit/x HTTP/1.1\r\n{E}", "h405", &[("allow", "POST, OPTIONS")]),
    ("9110 §9.3.2", "HEAD that is wrong", "HEAD /health HTTP/1.1\r\nA : b\r\n{E}", "h400!", &[]),
    ("9110 §9.3.2", "HEAD of a value that is wrong", "HEAD /notes/x HTTP/1.1\r\n{E}", "h422", &[]),
    ("9110 §9.3.2", "HEAD that ends the connection", "HEAD /echo/x HTTP/1.0\r\n\r\n", "h200!", &[]),
    ("9110 §9.3.3", "POST with an effect and nothing to say", "POST /hit/post HTTP/1.1\r\n{E}", "204", &[]),
    ("9110 §9.3.4", "PUT that changes", "PUT /notes/1 HTTP/1.1\r\n{J}Content-Length: 12\r\n{E}{\"note\":\"a\"}", "204", &[("etag", ""), ("last-modified", "")]),
    ("9110 §9.3.6", "CONNECT is refused", "CONNECT example.com:80 HTTP/1.1\r\n{E}", "501!", &[]),
    ("9110 §9.3.6", "CONNECT without a port is refused", "CONNECT example.com HTTP/1.1\r\n{E}", "501!", &[]),
    ("9110 §9.3.6", "CONNECT to nothing is refused", "CONNECT / HTTP/1.1\r\n{E}", "501!", &[]),
    ("9110 §9.3.7", "OPTIONS says what is allowed", "OPTIONS /echo/x HTTP/1.1\r\n{E}", "204", &[("allow", "GET, HEAD, OPTIONS")]),
    ("9110 §9.3.7", "OPTIONS of a path of two methods", "OPTIONS /notes/1 HTTP/1.1\r\n{E}", "204", &[("allow", "GET, HEAD, PUT, PATCH, OPTIONS")]),
    ("9110 §9.3.7", "OPTIONS with content", "OPTIONS /echo/x HTTP/1.1\r\nContent-Length: 2\r\n{E}{}", "204", &[]),
    ("9110 §9.3.7", "OPTIONS of nothing", "OPTIONS /nowhere HTTP/1.1\r\n{E}", "404", &[]),
    ("9110 §9.3.7", "Max-Forwards is for proxies", "OPTIONS * HTTP/1.1\r\nMax-Forwards: 0\r\n{E}", "204", &[]),
    ("9110 §9.3.8", "TRACE is refused and echoes nothing", "TRACE /health HTTP/1.1\r\nCookie: secret\r\n{E}", "501!", &[("content-type", "application/json")]),
    ("9110 §10.2.1", "405 says what is allowed", "DELETE /echo/x HTTP/1.1\r\n{E}", "405", &[("allow", "GET, HEAD, OPTIONS")]),
    ("9110 §10.2.1", "of what is built in too", "POST /health HTTP/1.1\r\n{E}", "405", &[("allow", "GET, HEAD, OPTIONS")]),
    ("9110 §10.2.1", "of a path of two methods", "POST /notes/1 HTTP/1.1\r\n{E}", "405", &[("allow", "GET, HEAD, PUT, PATCH, OPTIONS")]),
    ("9110 §15.3.2", "201 where it is declared", "PATCH /notes/1 HTTP/1.1\r\n{E}", "201", &[("body", "*")]),
    ("9110 §15.5.5", "404 for a path that is not there", "GET / HTTP/1.1\r\n{E}", "404", &[]),
    ("9110 §15.5.5", "404 for a row that is not there", "GET /notes/2 HTTP/1.1\r\n{E}", "404", &[]),
    ("9110 §15.5.21", "422 for a value that is not of its type", "GET /notes/x HTTP/1.1\r\n{E}", "422", &[]),
    ("9110 §15.6.6", "another major version", "GET /health HTTP/2.0\r\n{E}", "505!", &[]),
    ("9110 §15.6.6", "a version to come", "GET /health HTTP/3.0\r\n{E}", "505!", &[]),
    ("9110 §15.6.6", "HTTP/0.9 with its name", "GET /health HTTP/0.9\r\n{E}", "505!", &[]),
    ("9113 §3.4", "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505!", &[]),
    ("9113 §3.4", "PRI is no method of HTTP/1.1", "PRI * HTTP/1.1\r\n{E}", "505!", &[]),
];

#[rustfmt::skip]
const EXPECT: &[Written] = &[
    ("9110 §10.1.1", "100-continue", "POST /hit/expect HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n{E}hello", "204", &[]),
    ("9110 §10.1.1", "in any case, in chunks", "POST /hit/expect HTTP/1.1\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n{E}5\r\nhello\r\n0\r\n\r\n", "204", &[]),
    ("9110 §10.1.1", "without content", "GET /health HTTP/1.1\r\nExpect: 100-continue\r\n{E}", "200", &[]),
    ("9110 §10.1.1", "with content of no length", "POST /hit/expect HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n{E}", "204", &[]),
    ("9110 §10.1.1", "in HTTP/1.0 it is ignored", "POST /hit/expect HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "204!", &[]),
    ("9110 §10.1.1", "another one in HTTP/1.0 is too", "POST /hit/expect HTTP/1.0\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello", "204!", &[]),
    ("9110 §10.1.1", "another expectation", "GET /health HTTP/1.1\r\nExpect: 200-ok\r\n{E}", "417!", &[]),
    ("9110 §10.1.1", "one that is empty", "GET /health HTTP/1.1\r\nExpect:\r\n{E}", "417!", &[]),
    ("9110 §10.1.1", "two in one", "GET /health HTTP/1.1\r\nExpect: 100-continue, x\r\n{E}", "417!", &[]),
    ("9110 §10.1.1", "one that goes on", "GET /health HTTP/1.1\r\nExpect: 100-continue=1\r\n{E}", "417!", &[]),
    ("9110 §10.1.1", "a status that needs no body, at once", "POST /nowhere HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n{E}hello{S}", "404!", &[]),
    ("9110 §10.1.1", "a method that is not allowed, at once", "PUT /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n{E}", "405!", &[("allow", "POST, OPTIONS")]),
    ("9110 §15.5.14", "a body over the limit, though asked about", "POST /hit/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 201\r\n{E}", "413!", &[]),
];

#[rustfmt::skip]
const CONDITIONS: &[Written] = &[
    ("9110 §13.1.1", "no representation has an entity tag: If-Match", "PUT /notes/1 HTTP/1.1\r\n{J}If-Match: \"a\"\r\nContent-Length: 19\r\n{E}{\"note\":\"smuggled\"}", "412", &[]),
    ("9110 §13.1.1", "nor a weak one", "POST /hit/smuggled HTTP/1.1\r\nIf-Match: W/\"a\", \"b\"\r\n{E}", "412", &[]),
    ("9110 §13.1.1", "nor for GET", "GET /echo/x HTTP/1.1\r\nif-match: \"a\"\r\n{E}", "412", &[]),
    ("9110 §13.1.1", "any that is there will do", "GET /echo/x HTTP/1.1\r\nIf-Match: *\r\n{E}", "200", &[]),
    ("9110 §13.1.2", "If-None-Match of a tag holds", "GET /echo/x HTTP/1.1\r\nIf-None-Match: \"a\", W/\"b\"\r\n{E}", "200", &[]),
    ("9110 §13.1.3", "there is no date of modification", "GET /echo/x HTTP/1.1\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n{E}", "200", &[]),
    ("9110 §13.1.3", "a date that is none", "GET /health HTTP/1.1\r\nIf-Modified-Since: yesterday\r\n{E}", "200", &[]),
    ("9110 §13.1.4", "there is no date of modification for a write", "POST /hit/unmodified HTTP/1.1\r\nIf-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n{E}", "204", &[]),
    ("9110 §13.1.5", "If-Range without ranges", "GET /echo/x HTTP/1.1\r\nIf-Range: \"a\"\r\n{E}", "200", &[]),
    ("9110 §13.2.1", "404 comes before a condition", "GET /nowhere HTTP/1.1\r\nIf-Match: \"a\"\r\n{E}", "404", &[]),
    ("9110 §13.2.1", "405 comes before a condition", "DELETE /echo/x HTTP/1.1\r\nIf-Match: \"a\"\r\n{E}", "405", &[]),
    ("9110 §13.2.1", "422 comes before a condition", "GET /notes/x HTTP/1.1\r\nIf-Match: \"a\"\r\n{E}", "422", &[]),
    ("9110 §13.2.1", "OPTIONS has no conditions", "OPTIONS /echo/x HTTP/1.1\r\nIf-Match: \"a\"\r\n{E}", "204", &[]),
    ("9110 §13.2.2", "If-Match goes before the others", "GET /echo/x HTTP/1.1\r\nIf-Unmodified-Since: x\r\nIf-None-Match: \"b\"\r\nIf-Match: \"a\"\r\n{E}", "412", &[]),
];

#[rustfmt::skip]
const RANGES: &[Written] = &[
    ("9110 §14.2", "Range may be ignored", "GET /echo/x HTTP/1.1\r\nRange: bytes=0-1\r\n{E}", "200", &[("content-range", "")]),
    ("9110 §14.2", "with a method without ranges it must be", "POST /hit/range HTTP/1.1\r\nRange: bytes=0-1\r\n{E}", "204", &[]),
    ("9110 §14.2", "of an unknown unit it must be", "GET /health HTTP/1.1\r\nRange: pages=1-2\r\n{E}", "200", &[]),
    ("9110 §14.1.2", "of many digits", "GET /health HTTP/1.1\r\nRange: bytes=99999999999999999999999999-\r\n{E}", "200", &[]),
    ("9110 §14.4", "Content-Range is ignored but with PUT", "POST /hit/content-range HTTP/1.1\r\nContent-Range: bytes 0-1/5\r\n{E}", "204", &[]),
    ("9110 §14.5", "a part can't be PUT", "PUT /notes/1 HTTP/1.1\r\n{J}Content-Range: bytes 0-1/5\r\nContent-Length: 19\r\n{E}{\"note\":\"smuggled\"}", "400", &[]),
];
