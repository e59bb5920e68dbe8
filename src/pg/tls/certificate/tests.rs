use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::*;

/// A certificate for these names by rcgen, another implementation.
fn made(names: &[&str], common_name: &str) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(1975, 6, 1);
    params.not_after = date_time_ymd(2999, 12, 31);
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn the_parts_are_those_that_were_put_in() {
    let der = made(&["db.example", "192.0.2.1", "::1"], "the name");
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.version, 3);
    assert_eq!(certificate.issuer, certificate.subject);
    assert_eq!(common_name(certificate.subject), Some(&b"the name"[..]));
    let six = std::net::Ipv6Addr::LOCALHOST.octets();
    let expected = [
        Alternative::Name(b"db.example"),
        Alternative::Address(&[192, 0, 2, 1]),
        Alternative::Address(&six),
    ];
    assert_eq!(certificate.alternatives, expected);
    let seconds = |time: &str| time.parse::<Timestamp>().unwrap().as_second();
    assert_eq!(certificate.not_before, seconds("1975-06-01T00:00:00Z"));
    assert_eq!(certificate.not_after, seconds("2999-12-31T00:00:00Z"));
    assert_eq!(certificate.is_authority, None);
    assert!(!certificate.may_issue() && !certificate.constrains_names);
}

#[test]
fn years_of_two_digits_are_those_from_1950_to_2049() {
    for (tag, text, expected) in [
        (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
        (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
        (
            GENERALIZED_TIME,
            "20500101000000Z",
            Some("2050-01-01T00:00:00Z"),
        ),
        (GENERALIZED_TIME, "500101000000Z", None),
        (UTC_TIME, "20500101000000Z", None),
        (UTC_TIME, "490231000000Z", None),
        (UTC_TIME, "491301000000Z", None),
        (UTC_TIME, "4912312359Z", None),
        (UTC_TIME, "491231235959+0100", None),
        (UTC_TIME, "", None),
        (SEQUENCE, "491231235959Z", None),
    ] {
        let der = [&[tag, text.len() as u8], text.as_bytes()].concat();
        let found = Reader(&der).time().ok();
        let expected = expected.map(|time| time.parse::<Timestamp>().unwrap().as_second());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn lengths_are_read_in_every_form_and_never_past_the_end() {
    let element = |der: &[u8]| Reader(der).next().map(|(_, contents, _)| contents.len());
    assert_eq!(element(&[4, 0]), Ok(0));
    assert_eq!(element(&[4, 2, 1, 2, 3]), Ok(2));
    assert_eq!(element(&[4, 0x81, 2, 1, 2]), Ok(2));
    assert_eq!(element(&[4, 0x84, 0, 0, 0, 2, 1, 2]), Ok(2));
    for short in [
        &[][..],
        &[4],
        &[4, 1],
        &[4, 0x81],
        &[4, 0x82, 0],
        &[4, 0x80],
        &[4, 0x85, 0, 0, 0, 0, 0],
        &[4, 0x84, 0xff, 0xff, 0xff, 0xff, 1],
    ] {
        assert_eq!(element(short), Err(Malformed), "{short:?}");
    }
}

#[test]
fn a_certificate_that_was_cut_is_none() {
    let der = made(&["db.example"], "a");
    for length in 0..der.len() {
        assert!(Certificate::parse(&der[..length]).is_err(), "{length}");
    }
    Certificate::parse(&der).unwrap();
}

proptest! {
    /// Whatever a server sends for its certificate, the core goes on.
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut der = made(&["db.example", "192.0.2.1"], "a");
        for (index, byte) in changes {
            let index = index.index(der.len());
            der[index] = byte;
        }
        if let Ok(certificate) = Certificate::parse(&der) {
            super::super::name::is_for(&certificate, "db.example");
            super::super::name::presented(&certificate);
        }
        super::super::binding::server_end_point(&der);
    }
}
