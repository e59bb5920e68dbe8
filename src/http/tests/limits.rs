//! Each limit of a head at its value and one over, and no work done twice.

use super::*;
use crate::limits::{EMPTY_LINES_MAX, METHOD_BYTES_MAX};

const SMALL: HeadLimits = HeadLimits {
    head_bytes_max: 120,
    target_bytes_max: 20,
    headers_max: 4,
    secured: false,
};

#[test]
fn head_bytes() {
    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nB: ";
        format!("{start}{}\r\n\r\n", "b".repeat(bytes - start.len() - 4)).into_bytes()
    };
    assert_eq!(
        splits_do_not_matter(&head(120), &SMALL)
            .unwrap()
            .unwrap()
            .bytes,
        120
    );
    assert_eq!(
        splits_do_not_matter(&head(121), &SMALL),
        Err(Fault::HeadTooLarge)
    );
    // Refused when the bound is filled, not when the rest arrives.
    assert_eq!(parse_cut(&head(121)[..119], &[], &SMALL), Ok(None));
    assert_eq!(
        parse_cut(&head(121)[..120], &[], &SMALL),
        Err(Fault::HeadTooLarge)
    );
    // What follows a complete head doesn't count.
    let mut followed = head(120);
    followed.extend_from_slice(&[b'x'; 500]);
    assert_eq!(
        splits_do_not_matter(&followed, &SMALL)
            .unwrap()
            .unwrap()
            .bytes,
        120
    );
}

#[test]
fn target_bytes() {
    let head = |bytes: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "t".repeat(bytes - 1)).into_bytes()
    };
    assert_eq!(
        splits_do_not_matter(&head(20), &SMALL)
            .unwrap()
            .unwrap()
            .path
            .len(),
        20
    );
    assert_eq!(
        splits_do_not_matter(&head(21), &SMALL),
        Err(Fault::TargetTooLong)
    );
    // A head that is all target fails for its target.
    let limits = HeadLimits {
        target_bytes_max: 1000,
        ..SMALL
    };
    assert_eq!(
        splits_do_not_matter(&head(500), &limits),
        Err(Fault::TargetTooLong)
    );
}

#[test]
fn fields() {
    let head = |fields: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "B: c\r\n".repeat(fields - 1)
        )
        .into_bytes()
    };
    assert_eq!(
        splits_do_not_matter(&head(4), &SMALL)
            .unwrap()
            .unwrap()
            .headers
            .len(),
        4
    );
    assert_eq!(
        splits_do_not_matter(&head(5), &SMALL),
        Err(Fault::TooManyFields)
    );
}

#[test]
fn empty_lines_and_method_names() {
    let rest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = |lines: usize| "\r\n".repeat(lines) + rest;
    assert!(splits_do_not_matter(head(EMPTY_LINES_MAX).as_bytes(), &SMALL).is_ok());
    assert_eq!(
        splits_do_not_matter(head(EMPTY_LINES_MAX + 1).as_bytes(), &SMALL),
        Err(Fault::EmptyLines)
    );

    let name = |bytes: usize| "M".repeat(bytes).into_bytes();
    assert_eq!(
        splits_do_not_matter(&name(METHOD_BYTES_MAX), &SMALL),
        Ok(None)
    );
    assert_eq!(
        splits_do_not_matter(&name(METHOD_BYTES_MAX + 1), &SMALL),
        Err(Fault::UnknownMethod)
    );
}

#[test]
fn the_defaults_are_those_of_the_limits_file() {
    let defaults = HeadLimits::default();
    assert_eq!(defaults.head_bytes_max, crate::limits::HEAD_BYTES_MAX);
    assert_eq!(defaults.target_bytes_max, crate::limits::TARGET_BYTES_MAX);
    assert_eq!(defaults.headers_max, crate::limits::HEADERS_MAX);
}

/// Every octet that has been read is done with: what is read again after a partial head is nothing.
#[test]
fn no_octet_is_read_twice() {
    let input = b"GET /abc?d HTTP/1.1\r\nHost: a\r\nLong-Name: long value \r\n\r\n";
    let mut head = Head::new();
    for end in 0..input.len() {
        assert_eq!(
            head.parse(&input[..end], &HeadLimits::default()),
            Ok(Parsed::Partial)
        );
        assert_eq!(head.len(), end);
    }
}

#[test]
fn a_used_head_allocates_nothing_and_forgets_everything() {
    let first = b"POST http://b/x?y HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nExpect: z\r\n\
        Content-Type: t\r\nContent-Length: 5\r\n\r\n";
    let second = b"GET / HTTP/1.0\r\n\r\n";
    let mut head = Head::new();
    assert_eq!(
        head.parse(first, &HeadLimits::default()),
        Ok(Parsed::Complete)
    );
    let capacity = head.fields.capacity();
    assert!(capacity >= 5);
    head.reset();
    assert_eq!(head.fields.capacity(), capacity);
    assert_eq!(
        head.parse(second, &HeadLimits::default()),
        Ok(Parsed::Complete)
    );
    assert_eq!(Ok(Some(said(&head, second))), parse(second));
}
