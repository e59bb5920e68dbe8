//! What proxies say of a client: nobody is believed but them, and nothing that a client writes before what they
//! have written changes whom they name.

use std::net::IpAddr;

use pinion::guard::Peer;
use pinion::guard::proxy::{Field, Network, Settings};

use super::with_request;

/// What a client might put in front.
const CLAIMED: [&str; 3] = ["192.0.2.66", "10.0.0.66", "\"[2001:db8::66]:1\", a"];

/// All of it for one input: lines of a head.
pub fn check(input: &[u8]) {
    let ends = input.is_empty() || input.ends_with(b"\r\n");
    let end: &[u8] = if ends { b"" } else { b"\r\n" };
    let lines = [input, end].concat();
    for field in [Field::XForwardedFor, Field::Forwarded] {
        let settings = Settings {
            trusted: ["10.0.0.0/8", "::1"].map(network).into(),
            unix: true,
            field,
        };
        for peer in [Some("10.0.0.1"), Some("203.0.113.7"), Some("::1"), None] {
            for encrypted in [false, true] {
                let address = peer.map(|text| text.parse().expect("an address"));
                one(&settings, Peer { address, encrypted }, &lines);
            }
        }
    }
}

fn network(text: &str) -> Network {
    Network::parse(text).expect("a network")
}

fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.is_loopback(),
    }
}

fn one(settings: &Settings, peer: Peer, lines: &[u8]) {
    let Some(client) = client(settings, peer, lines) else {
        return;
    };
    if peer.address.is_some_and(|address| !is_trusted(address)) {
        assert_eq!(client, peer, "a peer that nobody trusts");
        return;
    }
    if let Some(address) = client.address {
        assert_eq!(address, address.to_canonical(), "one form of each address");
    }
    let name = match settings.field {
        Field::XForwardedFor => "x-forwarded-for: ",
        Field::Forwarded => "forwarded: for=",
    };
    // The first address that is no proxy's is the client: the search is over, whatever stands before.
    let is_over =
        client.address != peer.address && client.address.is_some_and(|it| !is_trusted(it));
    for claimed in CLAIMED {
        let before = [name.as_bytes(), claimed.as_bytes(), b"\r\n", lines].concat();
        let again = self::client(settings, peer, &before).unwrap_or(client);
        assert!(!is_over || again.address == client.address, "{claimed}");
    }
}

fn client(settings: &Settings, peer: Peer, lines: &[u8]) -> Option<Peer> {
    let mut client = None;
    with_request(lines, |request| {
        client = Some(settings.client(request, peer))
    });
    client
}
