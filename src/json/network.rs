//! inet, cidr, macaddr, macaddr8: binary ↔ text.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::bytes::{hex_value, write_hex_byte};
use super::reader::Reader;
use super::{DecodeFault, EncodeFault};

/// Address families on the wire (PGSQL_AF_INET, PGSQL_AF_INET6).
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

const NOT_AN_ADDRESS: DecodeFault = DecodeFault::new(
    "ip_any_interface",
    "Input should be a valid IPv4 or IPv6 address, with or without a prefix length",
);
const NOT_A_NETWORK: DecodeFault = DecodeFault::new(
    "ip_any_network",
    "Input should be a valid IPv4 or IPv6 network, with no bits set to the right of its prefix",
);
const NOT_A_MAC: DecodeFault =
    DecodeFault::new("mac_address", "Input should be a valid MAC address");

/// Appends an inet or cidr; the prefix length of an inet is left out when it is the whole address.
pub(super) fn write_inet(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    let family = reader.u8()?;
    let bits = reader.u8()?;
    let is_cidr = reader.u8()? != 0;
    let len = reader.u8()?;
    let address = reader.take(usize::from(len))?;
    reader.finish()?;
    let bits_max = match (family, address) {
        (FAMILY_V4, [a, b, c, d]) => {
            write_v4(&[*a, *b, *c, *d], out);
            32
        }
        (FAMILY_V6, address) => {
            write_v6(address.try_into().map_err(|_| EncodeFault::Malformed)?, out);
            128
        }
        _ => return Err(EncodeFault::Malformed),
    };
    if bits > bits_max {
        return Err(EncodeFault::Malformed);
    }
    if is_cidr || bits != bits_max {
        out.push(b'/');
        out.extend_from_slice(itoa::Buffer::new().format(bits).as_bytes());
    }
    Ok(())
}

/// Appends a macaddr (6 bytes) or macaddr8 (8 bytes) as `08:00:2b:01:02:03`.
pub(super) fn write_mac<const N: usize>(address: [u8; N], out: &mut Vec<u8>) {
    for (index, byte) in address.into_iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        write_hex_byte(byte, out);
    }
}

/// `192.168.0.1`, `192.168.0.0/16`, `2001:db8::1/64` → binary inet, or cidr, appended.
pub(super) fn parse_inet(text: &str, is_cidr: bool, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let fault = if is_cidr {
        NOT_A_NETWORK
    } else {
        NOT_AN_ADDRESS
    };
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(prefix_length(bits).ok_or(fault.clone())?)),
        None => (text, None),
    };
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        write_binary(FAMILY_V4, &address.octets(), bits, is_cidr, out).ok_or(fault)
    } else if let Ok(address) = address.parse::<Ipv6Addr>() {
        write_binary(FAMILY_V6, &address.octets(), bits, is_cidr, out).ok_or(fault)
    } else {
        Err(fault)
    }
}

/// The notations of Postgres: `08:00:2b:01:02:03`, `08-00-…`, `08002b:010203`, `08002b-010203`,
/// `0800.2b01.0203`, `0800-2b01-0203`, `08002b010203`.
pub(super) fn parse_mac(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let mut address = [0; 8];
    if mac_bytes(text, &mut address) != Some(6) {
        return Err(NOT_A_MAC);
    }
    out.extend_from_slice(&address[..6]);
    Ok(())
}

/// As [`parse_mac`] with eight bytes; six become eight by `ff:fe` in the middle, as in Postgres.
pub(super) fn parse_mac8(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let mut address = [0; 8];
    match mac_bytes(text, &mut address) {
        Some(8) => out.extend_from_slice(&address),
        Some(6) => {
            out.extend_from_slice(&address[..3]);
            out.extend_from_slice(&[0xFF, 0xFE]);
            out.extend_from_slice(&address[3..6]);
        }
        _ => return Err(NOT_A_MAC),
    }
    Ok(())
}

fn write_v4(octets: &[u8], out: &mut Vec<u8>) {
    for (index, octet) in octets.iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*octet).as_bytes());
    }
}

/// The longest run of two or more zero groups becomes `::`, and the last 32 bits are dotted where
/// the address embeds an IPv4 one (`::1.2.3.4`, `::ffff:1.2.3.4`), as in Postgres.
fn write_v6(octets: [u8; 16], out: &mut Vec<u8>) {
    let groups: [u16; 8] =
        std::array::from_fn(|index| u16::from_be_bytes([octets[index * 2], octets[index * 2 + 1]]));
    let (run_start, run_len) = longest_zero_run(&groups);
    let mut index = 0;
    while index < 8 {
        if run_len >= 2 && index == run_start {
            out.extend_from_slice(b"::");
            index += run_len;
            continue;
        }
        let after_run = run_len >= 2 && index == run_start + run_len;
        if index > 0 && !after_run {
            out.push(b':');
        }
        let embedded = run_start == 0 && (run_len == 6 || (run_len == 5 && groups[5] == 0xFFFF));
        if index == 6 && embedded {
            return write_v4(&octets[12..], out);
        }
        write_group(groups[index], out);
        index += 1;
    }
}

/// The first of the longest runs of zero groups: start and length.
fn longest_zero_run(groups: &[u16; 8]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut start = 0;
    for (index, &group) in groups.iter().enumerate() {
        if group != 0 {
            start = index + 1;
        } else if index + 1 - start > best.1 {
            best = (start, index + 1 - start);
        }
    }
    best
}

fn write_group(group: u16, out: &mut Vec<u8>) {
    let nibbles = [group >> 12, group >> 8 & 15, group >> 4 & 15, group & 15];
    let first = nibbles.iter().position(|&nibble| nibble != 0).unwrap_or(3);
    out.extend(
        nibbles[first..]
            .iter()
            .map(|&nibble| b"0123456789abcdef"[usize::from(nibble)]),
    );
}

/// Digits without leading zeros.
fn prefix_length(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (text == "0" || !text.starts_with('0')) {
        text.parse().ok()
    } else {
        None
    }
}

fn write_binary(
    family: u8,
    address: &[u8],
    bits: Option<u8>,
    is_cidr: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    let bits_max = address.len() * 8;
    let bits = bits.map_or(bits_max, usize::from);
    if bits > bits_max || (is_cidr && has_host_bits(address, bits)) {
        return None;
    }
    out.extend_from_slice(&[family, bits as u8, u8::from(is_cidr), address.len() as u8]);
    out.extend_from_slice(address);
    Some(())
}

fn has_host_bits(address: &[u8], bits: usize) -> bool {
    address.iter().enumerate().any(|(index, &byte)| {
        let network_bits = bits.saturating_sub(index * 8).min(8);
        u32::from(byte) & (0xFF >> network_bits) != 0
    })
}

/// Hex digits in groups of one size with one separator between them → how many bytes.
fn mac_bytes(text: &str, address: &mut [u8; 8]) -> Option<usize> {
    let text = text.as_bytes();
    let group = text
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let separator = text.get(group).copied();
    let allowed = matches!(
        (group, separator),
        (12 | 16, None) | (2 | 6 | 8, Some(b':' | b'-')) | (4, Some(b'.' | b'-'))
    );
    if !allowed {
        return None;
    }
    let mut nibbles = 0;
    for part in text.split(|&byte| Some(byte) == separator) {
        if part.len() != group {
            return None;
        }
        for &digit in part {
            let byte = address.get_mut(nibbles / 2)?;
            *byte = *byte << 4 | hex_value(digit)?;
            nibbles += 1;
        }
    }
    // Groups of 8 digits are a notation of macaddr8 only; twelve digits don't divide by 8.
    Some(nibbles / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str, is_cidr: bool) -> Option<String> {
        let mut raw = Vec::new();
        parse_inet(text, is_cidr, &mut raw).ok()?;
        let mut out = Vec::new();
        write_inet(&raw, &mut out).unwrap();
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn addresses() {
        for text in [
            "10.0.0.1",
            "10.0.0.1/8",
            "::",
            "::1",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "1::2:0:0:3",
            "2001:db8::1/64",
            "0:0:1::",
            "fe80::1:0:0:1",
        ] {
            assert_eq!(inet(text, false).as_deref(), Some(text));
        }
        for text in [
            "",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "::/00",
            "fe80::1%eth0",
        ] {
            assert_eq!(inet(text, false), None, "{text}");
        }
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert_eq!(inet("10.0.0.0", true).as_deref(), Some("10.0.0.0/32"));
        assert_eq!(inet("10.128.0.0/9", true).as_deref(), Some("10.128.0.0/9"));
        assert_eq!(inet("10.128.0.0/8", true), None);
        assert_eq!(inet("0.0.0.0/0", true).as_deref(), Some("0.0.0.0/0"));
    }

    #[test]
    fn mac_notations() {
        let mac = |text| {
            let mut raw = Vec::new();
            parse_mac(text, &mut raw).ok().map(|()| raw)
        };
        for text in [
            "08:00:2b:01:02:03",
            "08-00-2b-01-02-03",
            "08002b:010203",
            "08002b-010203",
            "0800.2b01.0203",
            "0800-2b01-0203",
            "08002B010203",
        ] {
            assert_eq!(
                mac(text).as_deref(),
                Some(&[8, 0, 0x2b, 1, 2, 3][..]),
                "{text}"
            );
        }
        for text in [
            "",
            "08:00:2b:01:02",
            "08:00:2b:01:02:03:04:05",
            "08:00-2b:01:02:03",
            "08:00:2b:01:02:0g",
            "08:00:2b:01:02:03:",
        ] {
            assert_eq!(mac(text), None, "{text}");
        }
        let mut raw = Vec::new();
        parse_mac8("08:00:2b:01:02:03", &mut raw).unwrap();
        assert_eq!(raw, [8, 0, 0x2b, 0xFF, 0xFE, 1, 2, 3]);
    }
}
