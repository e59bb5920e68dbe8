//! The request target (RFC 9112 §3.2) taken apart, and the host that it or `Host` names.

use std::net::Ipv6Addr;

use super::Fault;
use super::headers::Span;
use super::method::Method;
use super::syntax::registered_name_end;

/// A request target as places in the bytes of the head.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Target {
    /// The path, still percent-encoded. Empty only for an absolute-form without one.
    pub path: Span,
    /// What stands after the first `?`.
    pub query: Option<Span>,
    /// Host and port of an absolute-form; they replace the Host field (RFC 9112 §3.2.2).
    pub authority: Option<Span>,
}

impl Target {
    /// Takes the target at `span` of `bytes` apart; its octets have passed
    /// [`target_end`](super::syntax::target_end). `secured`: an https target is at the right place.
    pub fn parse(bytes: &[u8], span: Span, method: Method, secured: bool) -> Result<Target, Fault> {
        match span.of(bytes) {
            [] => Err(Fault::MalformedTarget),
            [b'/', ..] => Ok(Target::origin_form(bytes, span)),
            [b'*'] if method == Method::Options => Ok(Target {
                path: span,
                ..Target::default()
            }),
            _ => Target::absolute_form(bytes, span, secured),
        }
    }

    fn origin_form(bytes: &[u8], span: Span) -> Target {
        let target = span.of(bytes);
        match target.iter().position(|&octet| octet == b'?') {
            None => Target {
                path: span,
                ..Target::default()
            },
            Some(mark) => Target {
                path: span.part(0, mark),
                query: Some(span.part(mark + 1, target.len())),
                authority: None,
            },
        }
    }

    /// `http://host:port/path?query`, or https where that is the connection's; everything else,
    /// `host:port` among them, is refused.
    fn absolute_form(bytes: &[u8], span: Span, secured: bool) -> Result<Target, Fault> {
        let target = span.of(bytes);
        let scheme = ["http://", "https://"].into_iter().find(|scheme| {
            let start = target.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        });
        let scheme_length = scheme.ok_or(Fault::UnsupportedTargetForm)?.len();
        let authority_length = target[scheme_length..]
            .iter()
            .position(|octet| matches!(octet, b'/' | b'?'))
            .unwrap_or(target.len() - scheme_length);
        let authority = span.part(scheme_length, scheme_length + authority_length);
        check_host(authority.of(bytes))?;
        if scheme_length > "http://".len() && !secured {
            return Err(Fault::MisdirectedTarget);
        }
        let rest = span.part(scheme_length + authority_length, target.len());
        Ok(Target {
            authority: Some(authority),
            ..Target::origin_form(bytes, rest)
        })
    }
}

/// Checks `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2). Userinfo and an empty host are
/// refused (RFC 9110 §4.2.1, §4.2.4); a port, where there is one, has to fit 16 bits.
pub(super) fn check_host(authority: &[u8]) -> Result<(), Fault> {
    let host_length = match authority {
        [b'[', rest @ ..] => {
            let length = rest
                .iter()
                .position(|&octet| octet == b']')
                .ok_or(Fault::InvalidHost)?;
            check_ipv6(&rest[..length])?;
            length + 2
        }
        _ => registered_name_length(authority)?,
    };
    match &authority[host_length..] {
        [] => Ok(()),
        [b':', port @ ..] => check_port(port),
        _ => Err(Fault::InvalidHost),
    }
}

/// Length of the registered name or IPv4 address at the start of `authority`.
fn registered_name_length(authority: &[u8]) -> Result<usize, Fault> {
    let mut length = registered_name_end(authority, 0);
    while authority.get(length) == Some(&b'%') {
        let digits = authority
            .get(length + 1..length + 3)
            .ok_or(Fault::InvalidHost)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Fault::InvalidHost);
        }
        length = registered_name_end(authority, length + 3);
    }
    if length == 0 {
        Err(Fault::InvalidHost)
    } else {
        Ok(length)
    }
}

fn check_ipv6(address: &[u8]) -> Result<(), Fault> {
    let address = std::str::from_utf8(address).map_err(|_| Fault::InvalidHost)?;
    address
        .parse::<Ipv6Addr>()
        .map(drop)
        .map_err(|_| Fault::InvalidHost)
}

/// Checks `*DIGIT` (RFC 3986 §3.2.3) up to 65535.
fn check_port(port: &[u8]) -> Result<(), Fault> {
    let mut number = 0u32;
    for octet in port {
        if !octet.is_ascii_digit() {
            return Err(Fault::InvalidHost);
        }
        number = number * 10 + u32::from(octet - b'0');
        if number > u32::from(u16::MAX) {
            return Err(Fault::InvalidHost);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for valid in [
            "example.com",
            "example.com:8080",
            "example.com:",
            "example.com:65535",
            "127.0.0.1:0",
            "[::1]",
            "[2001:db8::1]:443",
            "[::ffff:10.0.0.1]",
            "caf%C3%A9.example",
            "a_b~c!$&'()*+,;=",
        ] {
            assert_eq!(check_host(valid.as_bytes()), Ok(()), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "user@example.com",
            "example.com:65536",
            "example.com:99999999999",
            "example.com:+80",
            "example.com:8 0",
            "a:b:80",
            "a b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2",
            "a%zz",
            "::1",
            "[::1",
            "[::1]80",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "[]",
            "caf\u{e9}",
        ] {
            assert_eq!(
                check_host(invalid.as_bytes()),
                Err(Fault::InvalidHost),
                "{invalid}"
            );
        }
    }
}
