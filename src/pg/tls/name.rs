//! Whether a server's certificate is for the host that was asked for: libpq's rules (PostgreSQL
//! §34.19.1), which are those of the web but for the common name.

use std::net::IpAddr;

use super::certificate::{Alternative, Certificate, common_name};

/// Whether the certificate names `host`, a name or a numeric address.
///
/// Alternative names of the host's own kind make the common name void, as in libpq; without any, the
/// common name is compared.
pub(super) fn is_for(certificate: &Certificate<'_>, host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    let mut common_name_counts = true;
    for alternative in &certificate.alternatives {
        let matches = match (alternative, address) {
            (Alternative::Name(name), _) => name_matches(name, host),
            (Alternative::Address(bytes), Some(IpAddr::V4(address))) => *bytes == address.octets(),
            (Alternative::Address(bytes), Some(IpAddr::V6(address))) => *bytes == address.octets(),
            (Alternative::Address(_), None) => false,
        };
        if matches {
            return true;
        }
        let of_the_hosts_kind = matches!(alternative, Alternative::Address(_)) == address.is_some();
        common_name_counts &= !of_the_hosts_kind;
    }
    let common_name = common_name(certificate.subject);
    common_name_counts && common_name.is_some_and(|name| name_matches(name, host))
}

/// The names that a certificate has, for messages.
pub(super) fn presented(certificate: &Certificate<'_>) -> String {
    let mut names: Vec<String> = certificate
        .alternatives
        .iter()
        .map(|alternative| match alternative {
            Alternative::Name(name) => text(name),
            Alternative::Address(bytes) => match (<[u8; 4]>::try_from(*bytes), *bytes) {
                (Ok(bytes), _) => IpAddr::from(bytes).to_string(),
                (_, bytes) => match <[u8; 16]>::try_from(bytes) {
                    Ok(bytes) => IpAddr::from(bytes).to_string(),
                    Err(_) => "a malformed address".to_owned(),
                },
            },
        })
        .collect();
    if names.is_empty() {
        names.extend(common_name(certificate.subject).map(text));
    }
    match names.is_empty() {
        true => "nobody".to_owned(),
        false => names.join(", "),
    }
}

/// A name of a certificate as a message may show it: whoever wrote it can't write to a terminal.
pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Letters of either case are the same. `*.` at the front stands for exactly one label.
fn name_matches(name: &[u8], host: &str) -> bool {
    let host = host.as_bytes();
    // A zero byte would cut the name short for others who look at it.
    if name.contains(&0) {
        return false;
    }
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(suffix) = name
        .strip_prefix(b"*")
        .filter(|it| it.starts_with(b".") && it.len() > 1)
    else {
        return false;
    };
    let Some(label_bytes) = host.len().checked_sub(suffix.len()) else {
        return false;
    };
    let (label, rest) = host.split_at(label_bytes);
    !label.is_empty() && !label.contains(&b'.') && rest.eq_ignore_ascii_case(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate for these, of which only the names matter.
    fn is_for_host(
        alternatives: &[Alternative<'_>],
        common_name: Option<&str>,
        host: &str,
    ) -> bool {
        let subject = common_name.map_or(vec![0x30, 0], |name| {
            let length = |extra: usize| u8::try_from(name.len() + extra).unwrap();
            let head = [
                0x30,
                length(11),
                0x31,
                length(9),
                0x30,
                length(7),
                6,
                3,
                0x55,
                4,
                3,
                0x0c,
                length(0),
            ];
            [&head[..], name.as_bytes()].concat()
        });
        let certificate = Certificate {
            subject: &subject,
            alternatives: alternatives.to_vec(),
            ..Certificate::default()
        };
        is_for(&certificate, host)
    }

    #[test]
    fn names_match_as_in_libpq() {
        for (name, host, expected) in [
            ("db.example", "db.example", true),
            ("DB.Example", "db.eXAMPLE", true),
            ("db.example", "db.example.", false),
            ("db.example", "a.db.example", false),
            ("*.example", "db.example", true),
            ("*.EXAMPLE", "db.example", true),
            ("*.example", "a.db.example", false),
            ("*.example", ".example", false),
            ("*.example", "example", false),
            ("*", "db", false),
            ("*.", "db.", false),
            ("d*.example", "db.example", false),
            ("*b.example", "db.example", false),
            ("db.*", "db.example", false),
            ("db.example\0.evil", "db.example", false),
            ("192.0.2.1", "192.0.2.1", true),
        ] {
            let alternative = [Alternative::Name(name.as_bytes())];
            assert_eq!(
                is_for_host(&alternative, None, host),
                expected,
                "{name:?} {host}"
            );
            assert_eq!(
                is_for_host(&[], Some(name), host),
                expected,
                "{name:?} {host}"
            );
        }
    }

    #[test]
    fn the_common_name_counts_only_without_alternatives_of_the_hosts_kind() {
        let (name, address) = (
            Alternative::Name(b"other"),
            Alternative::Address(&[192, 0, 2, 1]),
        );
        assert!(!is_for_host(&[name], Some("db"), "db"));
        assert!(is_for_host(&[address], Some("db"), "db"));
        assert!(is_for_host(&[name], Some("192.0.2.2"), "192.0.2.2"));
        assert!(!is_for_host(&[address], Some("192.0.2.2"), "192.0.2.2"));
        assert!(is_for_host(&[address], None, "192.0.2.1"));
        assert!(!is_for_host(&[address], None, "db"));
        let six = [Alternative::Address(&[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        ])];
        assert!(is_for_host(&six, None, "::1"));
        assert!(is_for_host(&six, None, "0:0::1"));
        assert!(!is_for_host(&six, None, "0.0.0.1"));
        assert!(!is_for_host(
            &[Alternative::Address(&[127, 0, 0])],
            None,
            "127.0.0.1"
        ));
        assert!(!is_for_host(&[], None, "db"));
    }
}
