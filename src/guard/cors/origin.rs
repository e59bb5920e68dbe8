//! Origins as the routes file declares them, and whether one that a request names is among them.
//!
//! A browser sends an origin in its serialised form (HTML §7.1.1): scheme, `://`, host, and the port unless
//! it is the scheme's own, in lower case and ASCII. So what is declared has to be written in that form, and
//! origins are compared byte by byte, never by what they might mean.

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a host name, and of one of its labels (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// One entry of `allow_origins`: `https://shop.example`, `https://*.shop.example`, `http://localhost:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As declared.
    text: Box<str>,
    /// `https://`
    scheme: Box<str>,
    host: Host,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// This one.
    Exactly(Box<str>),
    /// Every name that ends with this, which begins with a dot, and has at least a label before it.
    Below(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    /// With its colon; empty for the scheme's own.
    Exactly(Box<str>),
    Any,
}

/// Why a text is no origin, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginFault {
    /// What is wrong, in one line.
    pub message: String,
    /// What to write in its place.
    pub help: String,
}

fn fault<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, OriginFault> {
    Err(OriginFault {
        message: message.into(),
        help: help.into(),
    })
}

impl Origin {
    /// Reads an entry; whatever a browser would never send is a fault.
    pub fn parse(text: &str) -> Result<Origin, OriginFault> {
        check_characters(text)?;
        let Some((scheme, rest)) = text.split_once("://") else {
            let host = if text.is_empty() {
                "shop.example"
            } else {
                text
            };
            let help = format!("such as \"https://{host}\"");
            return fault("an origin begins with its scheme", help);
        };
        check_scheme(scheme, rest)?;
        if let Some(end) = rest.find(['/', '?', '#', '\\']) {
            let help = format!("write \"{scheme}://{}\"", &rest[..end]);
            return fault("an origin ends after its host and port", help);
        }
        if let Some((_, host)) = rest.rsplit_once('@') {
            let help = format!("write \"{scheme}://{host}\"");
            return fault("an origin has no user name or password", help);
        }
        let (host, port) = split_authority(scheme, rest)?;
        Ok(Origin {
            host: Host::parse(scheme, host)?,
            port: Port::parse(scheme, host, port)?,
            text: text.into(),
            scheme: format!("{scheme}://").into(),
        })
    }

    /// As declared.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for itself alone, so that [`Origin::as_str`] is all that it admits.
    pub fn is_exact(&self) -> bool {
        matches!(
            (&self.host, &self.port),
            (Host::Exactly(_), Port::Exactly(_))
        )
    }

    /// Whether a serialised origin is one of those that this entry stands for.
    pub fn admits(&self, origin: &[u8]) -> bool {
        let Some(rest) = origin.strip_prefix(self.scheme.as_bytes()) else {
            return false;
        };
        let port = match &self.host {
            Host::Exactly(host) => rest.strip_prefix(host.as_bytes()),
            Host::Below(suffix) => {
                let colon = rest.iter().position(|&octet| octet == b':');
                let (host, port) = rest.split_at(colon.unwrap_or(rest.len()));
                let labels = host.strip_suffix(suffix.as_bytes());
                labels
                    .filter(|labels| is_name(labels) && host.len() <= HOST_BYTES_MAX)
                    .map(|_| port)
            }
        };
        match (port, &self.port) {
            (None, _) => false,
            (Some(port), Port::Exactly(declared)) => port == declared.as_bytes(),
            (Some([]), Port::Any) => true,
            (Some(port), Port::Any) => is_port(port, &self.scheme),
        }
    }
}

/// Whether a value has the form of an origin that could be told from others: not `null`, not empty, not a
/// list of several.
pub fn is_serialised(value: &[u8]) -> bool {
    let Some(colon) = value.windows(3).position(|three| three == b"://") else {
        return false;
    };
    let (scheme, host) = (&value[..colon], &value[colon + 3..]);
    is_scheme(scheme)
        && !host.is_empty()
        && host
            .iter()
            .all(|octet| octet.is_ascii_graphic() && !b"/?#@\\,".contains(octet))
}

impl Host {
    fn parse(scheme: &str, host: &str) -> Result<Host, OriginFault> {
        if host.is_empty() {
            return fault("an origin has a host", "such as \"https://shop.example\"");
        }
        if let Some(inside) = host.strip_prefix('[') {
            return match inside.strip_suffix(']').unwrap_or("").parse() {
                Ok(address) if ipv6(address) == host => Ok(Host::Exactly(host.into())),
                Ok(address) => fault(
                    "browsers write this IPv6 address differently",
                    format!("write \"{scheme}://{}\"", ipv6(address)),
                ),
                Err(_) => fault("this is no IPv6 address", "such as \"http://[::1]\""),
            };
        }
        let (name, is_wildcard) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host, false),
        };
        if name.contains('*') {
            return fault(
                "\"*\" stands for whole labels before a name, or for a port",
                "such as \"https://*.shop.example\", or \"http://localhost:*\"",
            );
        }
        check_name(name)?;
        if is_number(name) {
            if name.parse::<Ipv4Addr>().is_err() {
                let help = "four numbers without leading zeros, such as \"http://127.0.0.1\"";
                return fault("this is no IPv4 address", help);
            }
            if is_wildcard {
                return fault("no name is below an address", "list the addresses");
            }
        }
        if !is_wildcard {
            return Ok(Host::Exactly(name.into()));
        }
        // Anybody can have a name below a top-level domain.
        if !name.contains('.') && name != "localhost" {
            let message = "\"*\" before a single label lets in whoever registers a name below it";
            return fault(message, "such as \"https://*.shop.example\"");
        }
        Ok(Host::Below(format!(".{name}").into()))
    }
}

impl Port {
    fn parse(scheme: &str, host: &str, port: Option<&str>) -> Result<Port, OriginFault> {
        let Some(port) = port else {
            return Ok(Port::Exactly("".into()));
        };
        if port == "*" {
            return Ok(Port::Any);
        }
        if default_port(scheme) == Some(port) {
            let message = format!("{port} is the port of {scheme}, which browsers leave out");
            return fault(message, format!("write \"{scheme}://{host}\""));
        }
        if !is_port_number(port.as_bytes()) {
            let message = "a port is 1 to 65535, without leading zeros";
            let help = format!("such as \"{scheme}://{host}:8080\", or \":*\" for any port");
            return fault(message, help);
        }
        Ok(Port::Exactly(format!(":{port}").into()))
    }
}

/// No origin has anything else than lower case in ASCII.
fn check_characters(text: &str) -> Result<(), OriginFault> {
    if text.eq_ignore_ascii_case("null") {
        let help = "sandboxed frames, files and data: URLs all have it, so it is always refused";
        return fault("\"null\" can't be allowed", help);
    }
    if !text.is_ascii() {
        let help =
            "write its ASCII form, which browsers send, such as \"https://xn--mnchen-3ya.example\"";
        return fault("an origin is in ASCII", help);
    }
    if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        let help = "one origin a text, such as \"https://shop.example\"";
        return fault("an origin has no spaces or control characters", help);
    }
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        let help = format!("write \"{}\"", text.to_ascii_lowercase());
        return fault("an origin is in lower case", help);
    }
    Ok(())
}

fn check_scheme(scheme: &str, rest: &str) -> Result<(), OriginFault> {
    let instead = match scheme {
        "http" | "https" => return Ok(()),
        "ws" | "htp" | "htttp" | "hhtp" | "htpp" => "http",
        "wss" | "htps" | "htttps" | "httsp" | "hhtps" | "htpps" => "https",
        "file" | "data" | "blob" | "about" | "javascript" => {
            let message = format!("a page of {scheme}: has no origin but \"null\"");
            return fault(message, "serve it by HTTP, such as on \"http://localhost\"");
        }
        // Of applications and browser extensions: capacitor://localhost, chrome-extension://ID.
        other if is_scheme(other.as_bytes()) => return Ok(()),
        _ => "https",
    };
    let message = format!("no page has the scheme \"{scheme}\"");
    fault(message, format!("write \"{instead}://{rest}\""))
}

/// Host and port of what stands after the scheme.
fn split_authority<'t>(
    scheme: &str,
    authority: &'t str,
) -> Result<(&'t str, Option<&'t str>), OriginFault> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        let help = format!("write \"{scheme}://[{authority}]\"");
        return fault("an IPv6 address stands in brackets", help);
    }
    let host_end = match authority.starts_with('[') {
        true => authority.find(']').map_or(authority.len(), |end| end + 1),
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, after) = authority.split_at(host_end);
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => fault("this is no IPv6 address", "such as \"http://[::1]:8080\""),
    }
}

fn check_name(name: &str) -> Result<(), OriginFault> {
    if is_name(name.as_bytes()) && name.len() <= HOST_BYTES_MAX {
        return Ok(());
    }
    fault(
        "this is no name of a host",
        "labels of 1 to 63 letters, digits, \"-\" and \"_\" with single dots between them",
    )
}

/// Whether these are whole labels, none of them empty.
fn is_name(labels: &[u8]) -> bool {
    labels.split(|&octet| octet == b'.').all(|label| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.iter().all(|octet| {
                octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-_".contains(octet)
            })
    })
}

/// Whether browsers take a name for an IPv4 address (URL §3.5, "ends in a number").
fn is_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x");
    last.bytes().all(|octet| octet.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()))
}

/// An address as URLs write it (URL §3.5), which writes no part of it as IPv4 (RFC 5952 §5 would).
fn ipv6(address: Ipv6Addr) -> String {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => format!("[::ffff:{high:x}:{low:x}]"),
        (None, _) => format!("[{address}]"),
    }
}

/// RFC 3986 §3.1, in lower case.
fn is_scheme(scheme: &[u8]) -> bool {
    let rest =
        |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"+-.".contains(octet);
    scheme.first().is_some_and(u8::is_ascii_lowercase) && scheme.iter().all(rest)
}

/// The port that is left out (URL §3.1).
fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" | "http://" => Some("80"),
        "https" | "https://" => Some("443"),
        _ => None,
    }
}

/// Whether this is what stands after a host for a port that is not the scheme's own.
fn is_port(port: &[u8], scheme: &str) -> bool {
    let Some(number) = port.strip_prefix(b":") else {
        return false;
    };
    is_port_number(number) && default_port(scheme).map(str::as_bytes) != Some(number)
}

/// 1 to 65535 as browsers write it.
fn is_port_number(number: &[u8]) -> bool {
    (1..=5).contains(&number.len())
        && number[0] != b'0'
        && number.iter().all(u8::is_ascii_digit)
        && number
            .iter()
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
            <= u32::from(u16::MAX)
}
