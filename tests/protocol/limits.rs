//! Each limit of a request at its value and one over.

use std::fmt::Write;

use pinion::limits;

use super::table::{Row, row};

/// What the server of the table is told to take (`--max-body-bytes`).
const BODY_BYTES_MAX: usize = 200;

const POST: &str = "POST /hit/limit HTTP/1.1\r\nHost: a\r\n";
const CHUNKED: &str = "POST /hit/limit HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

pub fn rows() -> Vec<Row> {
    let document = |depth: usize| {
        let length = 2 * depth;
        format!(
            "POST /document HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{}{}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let extension_bytes_max = limits::CHUNK_EXTENSION_BYTES_MAX;
    let written = [
        (
            "9112 §3",
            "request lines of 8000 octets",
            target(8000 - "GET  HTTP/1.1\r\n".len()),
            "404",
        ),
        (
            "9112 §3",
            "a target at the limit",
            target(limits::TARGET_BYTES_MAX),
            "404",
        ),
        (
            "9112 §3",
            "a target over the limit",
            target(limits::TARGET_BYTES_MAX + 1),
            "414!",
        ),
        (
            "9112 §3",
            "a method longer than any",
            format!("{} /", "M".repeat(limits::METHOD_BYTES_MAX)),
            "501!",
        ),
        (
            "9112 §3",
            "a method that never ends",
            "M".repeat(limits::METHOD_BYTES_MAX + 1),
            "501!",
        ),
        (
            "9110 §5.4",
            "a head at the limit",
            head(limits::HEAD_BYTES_MAX),
            "200",
        ),
        (
            "9110 §5.4",
            "a head over the limit",
            head(limits::HEAD_BYTES_MAX + 1),
            "431!",
        ),
        (
            "6585 §5",
            "a field that never ends",
            format!("{POST}X: {}", "x".repeat(limits::HEAD_BYTES_MAX)),
            "431!",
        ),
        (
            "9110 §5.4",
            "as many fields as there may be",
            fields(limits::HEADERS_MAX),
            "200",
        ),
        (
            "9110 §5.4",
            "a field more",
            fields(limits::HEADERS_MAX + 1),
            "431!",
        ),
        (
            "9110 §15.5.14",
            "a body at the limit",
            length(BODY_BYTES_MAX),
            "204",
        ),
        (
            "9110 §15.5.14",
            "a body over the limit",
            length(BODY_BYTES_MAX + 1),
            "413!",
        ),
        (
            "9110 §15.5.14",
            "chunks at the limit",
            chunks(BODY_BYTES_MAX - 1, 1),
            "204",
        ),
        (
            "9110 §15.5.14",
            "chunks over the limit",
            chunks(BODY_BYTES_MAX - 1, 2),
            "413!",
        ),
        (
            "9112 §7.1.1",
            "a chunk's line at the limit",
            chunk_line(limits::CHUNK_LINE_BYTES_MAX),
            "204",
        ),
        (
            "9112 §7.1.1",
            "a chunk's line over the limit",
            chunk_line(limits::CHUNK_LINE_BYTES_MAX + 1),
            "400!",
        ),
        (
            "9112 §7.1.1",
            "extensions at the limit of all",
            extensions(extension_bytes_max),
            "204",
        ),
        (
            "9112 §7.1.1",
            "extensions over the limit of all",
            extensions(extension_bytes_max + 1),
            "400!",
        ),
        (
            "9112 §7.1.2",
            "trailers at the limit",
            trailers(limits::TRAILER_BYTES_MAX),
            "204",
        ),
        (
            "9112 §7.1.2",
            "trailers over the limit",
            trailers(limits::TRAILER_BYTES_MAX + 1),
            "431!",
        ),
        (
            "8259 §9",
            "nesting at the limit",
            document(limits::JSON_DEPTH_MAX),
            "200",
        ),
        (
            "8259 §9",
            "nesting over the limit",
            document(limits::JSON_DEPTH_MAX + 1),
            "400",
        ),
    ];
    let rows = written.into_iter();
    rows.map(|(section, must, sent, answers)| row(section, must, sent.into_bytes(), answers, &[]))
        .collect()
}

fn target(bytes: usize) -> String {
    let target = "t".repeat(bytes - 1);
    format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn head(bytes: usize) -> String {
    let start = "GET /health HTTP/1.1\r\nHost: a\r\nX: ";
    format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
}

fn fields(count: usize) -> String {
    let others = "X: y\r\n".repeat(count - 1);
    format!("GET /health HTTP/1.1\r\nHost: a\r\n{others}\r\n")
}

fn length(bytes: usize) -> String {
    format!("{POST}Content-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
}

fn chunks(first: usize, second: usize) -> String {
    let (one, two) = ("x".repeat(first), "x".repeat(second));
    format!("{CHUNKED}{first:x}\r\n{one}\r\n{second:x}\r\n{two}\r\n0\r\n\r\n")
}

fn chunk_line(bytes: usize) -> String {
    let name = "a".repeat(bytes - "1;\r\n".len());
    format!("{CHUNKED}1;{name}\r\nx\r\n0\r\n\r\n")
}

/// Chunks of one byte with so many bytes of extensions in all; what the first 18 bytes of a line hold is
/// not counted.
fn extensions(mut counted: usize) -> String {
    let mut text = CHUNKED.to_owned();
    while counted > 0 {
        let bytes = counted.min(limits::CHUNK_LINE_BYTES_MAX - 18);
        let name = "a".repeat(bytes + 18 - "1;\r\n".len());
        let _ = write!(text, "1;{name}\r\nx\r\n");
        counted -= bytes;
    }
    text + "0\r\n\r\n"
}

fn trailers(bytes: usize) -> String {
    let value = "b".repeat(bytes - "a:\r\n\r\n".len());
    format!("{CHUNKED}0\r\na:{value}\r\n\r\n")
}
