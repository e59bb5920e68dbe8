//! Who is counted: what of a request makes the key of its rate limit.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// Whom a rate limit counts a request for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    /// Those of a network address.
    Network(Network),
    /// Those without an address: local processes, over a unix socket.
    Local,
    /// Those that send this value of the rule's header field.
    Header(&'a [u8]),
    /// Those whose identity has this value of the rule's claim.
    Claim(&'a [u8]),
    /// All of a route.
    Route(&'a str),
}

/// The part of an address that a client can't choose freely: an IPv4 address, also one that is mapped
/// into IPv6 (RFC 4291 §2.5.5.2); of an IPv6 address the first 64 bits, as a single host is given that
/// many to choose the others from (RFC 4291 §2.5.4, RFC 7421).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// The whole address.
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(address) => Network::V4(address.to_bits()),
            IpAddr::V6(address) => Network::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// What makes keys of clients: random for each process, so that nobody can choose values whose keys are
/// alike. 128 bits of SipHash, under two keys: with a million clients two of them have the same key once
/// in 10^26 processes.
#[derive(Clone, Default)]
pub struct Seed {
    low: RandomState,
    high: RandomState,
}

impl Seed {
    /// The key of a client of the rule with this index.
    pub fn key(&self, rule: usize, client: &Client<'_>) -> u128 {
        let half = |seed: &RandomState| {
            let mut hasher = seed.build_hasher();
            client.hash(rule, &mut hasher);
            hasher.finish()
        };
        u128::from(half(&self.high)) << 64 | u128::from(half(&self.low))
    }
}

impl Client<'_> {
    /// No two clients and rules give the same bytes: what has no fixed length comes last.
    fn hash(&self, rule: usize, hasher: &mut impl Hasher) {
        let kind = |kind: u64| (rule as u64) << 8 | kind;
        match self {
            Client::Network(Network::V4(address)) => {
                hasher.write_u64(kind(4));
                hasher.write_u32(*address);
            }
            Client::Network(Network::V6(network)) => {
                hasher.write_u64(kind(6));
                hasher.write_u64(*network);
            }
            Client::Local => hasher.write_u64(kind(0)),
            Client::Header(value) => {
                hasher.write_u64(kind(1));
                hasher.write(value);
            }
            Client::Claim(value) => {
                hasher.write_u64(kind(2));
                hasher.write(value);
            }
            Client::Route(name) => {
                hasher.write_u64(kind(3));
                hasher.write(name.as_bytes());
            }
        }
    }

    /// The name of the client's key in a store that servers share: ASCII without spaces, alike on all of
    /// them. Values that clients choose may be long, or secrets, so their SHA-256 stands for them.
    pub fn name(&self, rule: &str) -> Vec<u8> {
        let mut name = Vec::with_capacity(96);
        name.extend_from_slice(b"pinion:rate_limit:");
        name.extend_from_slice(rule.as_bytes());
        let written = match self {
            Client::Network(Network::V4(address)) => {
                write!(name, ":ip:{}", std::net::Ipv4Addr::from_bits(*address))
            }
            Client::Network(Network::V6(network)) => {
                let address = std::net::Ipv6Addr::from_bits(u128::from(*network) << 64);
                write!(name, ":ip:{address}/64")
            }
            Client::Local => write!(name, ":local"),
            Client::Header(value) => write!(name, ":header:{:x}", hex(value)),
            Client::Claim(value) => write!(name, ":claim:{:x}", hex(value)),
            Client::Route(route) => write!(name, ":route:{route}"),
        };
        written.expect("a vector takes what is written to it");
        name
    }
}

fn hex(value: &[u8]) -> impl std::fmt::LowerHex {
    let digest: [u8; 32] = Sha256::digest(value).into();
    Hex(digest)
}

struct Hex([u8; 32]);

impl std::fmt::LowerHex for Hex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|octet| write!(formatter, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn network(address: &str) -> Network {
        Network::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn what_of_an_address_counts() {
        assert_eq!(network("192.0.2.1"), Network::V4(0xc000_0201));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        let one = network("2001:db8:1:2::1");
        assert_eq!(one, Network::V6(0x2001_0db8_0001_0002));
        assert_eq!(one, network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(one, network("2001:db8:1:3::1"));
    }

    const CLIENTS: [Client<'_>; 10] = [
        Client::Network(Network::V4(0)),
        Client::Network(Network::V4(1)),
        Client::Network(Network::V6(0)),
        Client::Network(Network::V6(1)),
        Client::Local,
        Client::Header(b""),
        Client::Header(b"a"),
        Client::Claim(b"a"),
        Client::Route("a"),
        Client::Route("b"),
    ];

    #[test]
    fn no_two_clients_share_a_key_or_a_name() {
        let seed = Seed::default();
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for rule in 0..300 {
            for client in &CLIENTS {
                assert!(keys.insert(seed.key(rule, client)), "{rule} {client:?}");
                assert_eq!(seed.key(rule, client), seed.clone().key(rule, client));
                let name = client.name(&format!("rule{rule}"));
                assert!(name.iter().all(u8::is_ascii_graphic));
                assert!(names.insert(name), "{rule} {client:?}");
            }
        }
        assert_ne!(
            Seed::default().key(0, &Client::Local),
            seed.key(0, &Client::Local)
        );
    }

    #[test]
    fn names_in_a_shared_store() {
        let name = |client: Client<'_>| String::from_utf8(client.name("default")).unwrap();
        let address = |text| Client::Network(network(text));
        assert_eq!(
            name(address("192.0.2.1")),
            "pinion:rate_limit:default:ip:192.0.2.1"
        );
        assert_eq!(
            name(address("2001:db8::1")),
            "pinion:rate_limit:default:ip:2001:db8::/64"
        );
        assert_eq!(
            name(Client::Header(b"abc")),
            "pinion:rate_limit:default:header:\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            name(Client::Route("x")),
            "pinion:rate_limit:default:route:x"
        );
    }
}
