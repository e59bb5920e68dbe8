//! Who a request comes from, and whether it came encrypted, when there are proxies in between.
//!
//! What a request says of that (`X-Forwarded-For`, or `Forwarded`, RFC 7239) is believed of a peer that
//! is declared a proxy, and read from the right: each proxy appends whom it was asked by. The first
//! address from the right that is no proxy's is the client; what stands to the left of it the client may
//! have written itself. Only one of the two fields is looked at, the one that the proxies are
//! known to write: the other comes through them as the client sent it.

use std::net::{IpAddr, SocketAddr};

use super::Peer;
use crate::http::Request;

/// `[proxy]` of the routes file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Peers that are proxies.
    pub trusted: Vec<Network>,
    /// Whether peers on unix sockets are.
    pub unix: bool,
    /// The field that they write.
    pub field: Field,
}

/// What a proxy says whom it was asked by with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Parses `10.0.0.0/8`, `::1/128`, or an address alone. The bits beyond the prefix must be zero.
    pub fn parse(text: &str) -> Result<Network, &'static str> {
        const WANTED: &str =
            "an IP address, or one with the bits of its network, such as 10.0.0.0/8";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| WANTED)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => {
                bits.parse().map_err(|_| WANTED)?
            }
            Some(_) => return Err(WANTED),
        };
        if bits > most {
            return Err("an IPv4 network has 0 to 32 bits, an IPv6 network 0 to 128");
        }
        if address != address.to_canonical() {
            return Err("IPv4 addresses are written as such, not within IPv6");
        }
        let network = Network { address, bits };
        if network.masked(number(address)) != number(address) {
            return Err("the address has bits beyond its network's");
        }
        Ok(network)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && self.masked(number(address)) == number(self.address)
    }

    /// The first `bits` bits of an address of this network's family.
    fn masked(&self, address: u128) -> u128 {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        let rest = width - self.bits;
        address
            .checked_shr(rest)
            .unwrap_or(0)
            .checked_shl(rest)
            .unwrap_or(0)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Settings {
    /// The client behind `peer`: its address, and whether its own connection is encrypted.
    pub fn client(&self, request: &Request<'_>, peer: Peer) -> Peer {
        let is_proxy = match peer.address {
            Some(address) => self.trusts(address),
            None => self.unix,
        };
        if !is_proxy {
            return peer;
        }
        match self.field {
            Field::XForwardedFor => Peer {
                address: self
                    .last_untrusted(x_forwarded_for(request))
                    .or(peer.address),
                encrypted: elements(request, "x-forwarded-proto")
                    .next()
                    .and_then(proto)
                    .unwrap_or(peer.encrypted),
            },
            Field::Forwarded => {
                let nearest = elements(request, "forwarded").next();
                let nearest = nearest.and_then(|element| parameter(element, "proto"));
                Peer {
                    address: self.last_untrusted(forwarded(request)).or(peer.address),
                    encrypted: nearest.and_then(proto).unwrap_or(peer.encrypted),
                }
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// The first of them that is no proxy. What is no address ends the search, at the last proxy that is
    /// known: nothing to the left of it can be believed.
    fn last_untrusted(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut last = None;
        for hop in hops {
            let Some(address) = hop else {
                break;
            };
            last = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        last
    }
}

/// The elements of a list field from the right, over all of its lines (RFC 9110 §5.3).
fn elements<'a>(
    request: &Request<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines: Vec<&'a [u8]> = request
        .headers()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect();
    lines.into_iter().rev().flat_map(|line| {
        // One that is no text has no elements that could be read: it reads as one that is no address.
        let line = std::str::from_utf8(line).unwrap_or("?");
        line.rsplit(',').map(str::trim)
    })
}

fn x_forwarded_for<'a>(request: &Request<'a>) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
    elements(request, "x-forwarded-for").map(node)
}

fn forwarded<'a>(request: &Request<'a>) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
    elements(request, "forwarded").map(|element| parameter(element, "for").and_then(node))
}

/// A parameter of one element of `Forwarded`, without its quotes (RFC 7239 §4). A comma within quotes would
/// split the element: none of the values that are looked for has one.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let unquoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        key.trim()
            .eq_ignore_ascii_case(name)
            .then_some(unquoted.unwrap_or(value))
    })
}

/// An address as proxies write it: alone, with a port, IPv6 in brackets or (in X-Forwarded-For) without.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => IpAddr::V6(address.parse().ok()?),
        None => match text.parse() {
            Ok(address) => address,
            Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

/// Whether a proxy was asked by HTTPS.
fn proto(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("https") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("http").then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Head, HeadLimits};

    fn settings(field: Field) -> Settings {
        Settings {
            trusted: ["10.0.0.0/8", "::1", "2001:db8::/32"]
                .map(|text| Network::parse(text).unwrap())
                .into(),
            unix: true,
            field,
        }
    }

    fn client(field: Field, peer: &str, lines: &str) -> (String, bool) {
        let input = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
        let mut head = Head::default();
        head.parse(input.as_bytes(), &HeadLimits::default())
            .unwrap();
        let peer = Peer {
            address: peer.parse().ok(),
            ..Peer::default()
        };
        let client = settings(field).client(&head.request(input.as_bytes()), peer);
        let address = client.address.map_or_else(String::new, |it| it.to_string());
        (address, client.encrypted)
    }

    fn address(peer: &str, lines: &str) -> String {
        client(Field::XForwardedFor, peer, lines).0
    }

    #[test]
    fn networks() {
        let network = |text| Network::parse(text).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(network("10.0.0.0/8").contains(ip("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
        assert!(!network("10.0.0.0/8").contains(ip("11.0.0.0")));
        assert!(!network("10.0.0.0/8").contains(ip("a00::")));
        assert!(network("0.0.0.0/0").contains(ip("255.255.255.255")));
        assert!(!network("0.0.0.0/0").contains(ip("::1")));
        assert!(network("::/0").contains(ip("::1")));
        assert!(network("192.0.2.1").contains(ip("192.0.2.1")));
        assert!(!network("192.0.2.1").contains(ip("192.0.2.0")));
        assert!(network("2001:db8::/33").contains(ip("2001:db8:7fff::1")));
        assert!(!network("2001:db8::/33").contains(ip("2001:db8:8000::1")));
        for wrong in [
            "",
            "10",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "10.0.0.0/",
            "a/8",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.0/104",
            "::1/0",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_peer_that_is_no_proxy_is_the_client_whatever_it_says() {
        let lines = "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n";
        assert_eq!(
            client(Field::XForwardedFor, "203.0.113.7", lines),
            ("203.0.113.7".to_owned(), false)
        );
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_is_the_client() {
        let cases = [
            ("x-forwarded-for: 192.0.2.1\r\n", "192.0.2.1"),
            ("x-forwarded-for: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1"),
            (
                "x-forwarded-for: 198.51.100.9, 192.0.2.1, 10.0.0.2\r\n",
                "192.0.2.1",
            ),
            (
                "x-forwarded-for: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.2\r\n",
                "192.0.2.1",
            ),
            ("x-forwarded-for: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"),
            (
                "x-forwarded-for: 192.0.2.1, nonsense, 10.0.0.2\r\n",
                "10.0.0.2",
            ),
            ("x-forwarded-for: nonsense\r\n", "10.0.0.1"),
            ("x-forwarded-for: \u{e9}\r\n", "10.0.0.1"),
            ("x-forwarded-for: \r\n", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("x-forwarded-for: 192.0.2.1:4711\r\n", "192.0.2.1"),
            ("x-forwarded-for: [2001:db9::1]:80\r\n", "2001:db9::1"),
            ("x-forwarded-for: 2001:db9::1, ::1\r\n", "2001:db9::1"),
            ("x-forwarded-for: ::ffff:192.0.2.1\r\n", "192.0.2.1"),
            ("forwarded: for=192.0.2.1\r\n", "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            assert_eq!(address("10.0.0.1", lines), expected, "{lines}");
        }
        assert_eq!(
            address("", "x-forwarded-for: 192.0.2.1\r\n"),
            "192.0.2.1",
            "unix"
        );
    }

    #[test]
    fn forwarded_is_read_where_it_is_declared() {
        let told = |lines| client(Field::Forwarded, "10.0.0.1", lines);
        assert_eq!(
            told(
                "forwarded: for=198.51.100.9, For=\"[2001:db9::1]:80\";proto=https;by=10.0.0.1\r\n"
            ),
            ("2001:db9::1".to_owned(), true)
        );
        assert_eq!(
            told("forwarded: for=192.0.2.1;proto=https, for=10.0.0.2;proto=http\r\n"),
            ("192.0.2.1".to_owned(), false)
        );
        assert_eq!(
            told("forwarded: for=_hidden, for=10.0.0.2\r\n").0,
            "10.0.0.2"
        );
        assert_eq!(told("x-forwarded-for: 192.0.2.1\r\n").0, "10.0.0.1");
    }

    #[test]
    fn the_nearest_proxy_says_how_the_client_came() {
        let https = |lines: &str| client(Field::XForwardedFor, "10.0.0.1", lines).1;
        assert!(https("x-forwarded-proto: https\r\n"));
        assert!(https("x-forwarded-proto: http, HTTPS\r\n"));
        assert!(https(
            "x-forwarded-proto: http\r\nx-forwarded-proto: https\r\n"
        ));
        assert!(!https("x-forwarded-proto: https, http\r\n"));
        assert!(!https("x-forwarded-proto: wss\r\n"));
        assert!(!https(""));
    }
}
