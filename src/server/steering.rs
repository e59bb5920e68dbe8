//! Which core a connection goes to: the programs behind `--steer`, and which core an address belongs to.
//!
//! A program's answer is the position of a core among those that serve. [`core_of`] is the same function
//! as [`by_address`], so that the core that keeps the rate of an address is the one that its connections are
//! steered to. Nothing relies on it that they are: a core looks up whose an address is.

use crate::guard::rate_limit::Network;
use crate::ring::Instruction;

/// Spreads neighbouring addresses (2^32 divided by the golden ratio, an odd number).
const SPREAD: u32 = 0x9e37_79b1;
/// Another one for the first half of an IPv6 network.
const SPREAD_FIRST: u32 = 0x85eb_ca77;
/// The high bits of a product are those that depend on all bits of its factors.
const HIGH: u32 = 16;

/// The core of an address among `cores`: of an IPv4 address, or the first 64 bits of an IPv6 address.
pub fn core_of(network: Network, cores: usize) -> usize {
    let folded = match network {
        Network::V4(address) => address,
        Network::V6(network) => {
            let (first, second) = ((network >> 32) as u32, network as u32);
            first.wrapping_mul(SPREAD_FIRST) ^ second
        }
    };
    (folded.wrapping_mul(SPREAD) >> HIGH) as usize % cores.max(1)
}

// Operations (linux/bpf_common.h, linux/filter.h): class, then mode or operator, then source.
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const MULTIPLY: u16 = 0x24;
const MODULO: u16 = 0x94;
const XOR_X: u16 = 0xac;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const TO_X: u16 = 0x07;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;

/// Offsets from here on are into the IP header (SKF_NET_OFF).
const NETWORK_HEADER: u32 = libc::SKF_NET_OFF as u32;
/// The CPU that runs the program (SKF_AD_OFF + SKF_AD_CPU).
const CPU: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32;
/// Where an IPv4 header has the source address (RFC 791 §3.1), and an IPv6 header (RFC 8200 §3).
const V4_SOURCE: u32 = 12;
const V6_SOURCE: u32 = 8;

/// Every connection of an address goes to its core.
pub fn by_address(cores: usize) -> Vec<Instruction> {
    let load = |offset| plain(LOAD_WORD, NETWORK_HEADER.wrapping_add(offset));
    vec![
        plain(LOAD_BYTE, NETWORK_HEADER),
        plain(SHIFT_RIGHT, 4),
        Instruction {
            code: JUMP_IF_EQUAL,
            jt: 2,
            jf: 0,
            k: 6,
        },
        load(V4_SOURCE),
        plain(JUMP, 5),
        load(V6_SOURCE),
        plain(MULTIPLY, SPREAD_FIRST),
        plain(TO_X, 0),
        load(V6_SOURCE + 4),
        plain(XOR_X, 0),
        plain(MULTIPLY, SPREAD),
        plain(SHIFT_RIGHT, HIGH),
        plain(MODULO, cores.max(1) as u32),
        plain(RETURN_A, 0),
    ]
}

/// A connection goes to the core that its first packet came in on, if that one serves; else to one of those
/// that do. `cpus` are the kernel's numbers of the cores.
pub fn by_cpu(cpus: &[usize]) -> Vec<Instruction> {
    let mut program = vec![plain(LOAD_WORD, CPU)];
    // What is past the kernel's bound on a program is reached by the remainder below.
    for (index, cpu) in cpus.iter().enumerate().take(CPUS_MAX) {
        program.push(Instruction {
            code: JUMP_IF_EQUAL,
            jt: 0,
            jf: 1,
            k: *cpu as u32,
        });
        program.push(plain(RETURN, index as u32));
    }
    program.push(plain(MODULO, cpus.len().max(1) as u32));
    program.push(plain(RETURN_A, 0));
    program
}

/// Cores that a program can name: it has at most 4096 instructions (BPF_MAXINSNS).
const CPUS_MAX: usize = 2000;

fn plain(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k: operand,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// What the kernel does with a program.
    fn run(program: &[Instruction], packet: &[u8], cpu: u32) -> usize {
        let (mut a, mut x, mut at) = (0u32, 0u32, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let offset = k.wrapping_sub(NETWORK_HEADER) as usize;
            match code {
                LOAD_WORD if k == CPU => a = cpu,
                LOAD_WORD => {
                    let word = packet[offset..offset + 4].try_into().unwrap();
                    a = u32::from_be_bytes(word);
                }
                LOAD_BYTE => a = u32::from(packet[offset]),
                MULTIPLY => a = a.wrapping_mul(k),
                MODULO => a %= k,
                XOR_X => a ^= x,
                SHIFT_RIGHT => a >>= k,
                JUMP => at += k as usize,
                JUMP_IF_EQUAL => at += usize::from(if a == k { jt } else { jf }),
                TO_X => x = a,
                RETURN => return k as usize,
                RETURN_A => return a as usize,
                _ => panic!("{code:#x}"),
            }
        }
    }

    fn packet(source: IpAddr) -> Vec<u8> {
        match source {
            IpAddr::V4(source) => {
                let header = [0x45, 0, 0, 60, 7, 7, 0, 0, 64, 6, 1, 2];
                [&header[..], &source.octets(), &[127, 0, 0, 1]].concat()
            }
            IpAddr::V6(source) => {
                let header = [0x60, 1, 2, 3, 0, 40, 6, 64];
                [&header[..], &source.octets(), &[7; 16]].concat()
            }
        }
    }

    proptest! {
        #[test]
        fn the_program_and_the_function_are_one(
            v4 in any::<u32>(), v6 in any::<u128>(), cores in 1usize..300,
        ) {
            for source in [IpAddr::V4(Ipv4Addr::from(v4)), IpAddr::V6(Ipv6Addr::from(v6))] {
                let found = run(&by_address(cores), &packet(source), 0);
                // An address that is mapped into IPv6 comes in packets of IPv4 only.
                if source.to_canonical() == source {
                    prop_assert_eq!(found, core_of(source.into(), cores));
                }
                prop_assert!(found < cores);
            }
        }
    }

    #[test]
    fn a_host_has_one_core_whatever_address_it_takes() {
        let network = 0x2001_0db8_0001_0002u128 << 64;
        let program = by_address(64);
        let cores = (0..1000u128).map(|host| {
            let source = Ipv6Addr::from(network | (host * 0x0012_3456_789a_bcde));
            run(&program, &packet(source.into()), 0)
        });
        let cores: std::collections::HashSet<usize> = cores.collect();
        assert_eq!(cores.len(), 1);
    }

    #[test]
    fn neighbours_are_spread() {
        for cores in [2, 3, 7, 16, 64] {
            for step in [1u64, 2, 4, 256, 65_536] {
                let mut counts = [vec![0; cores], vec![0; cores]];
                let total = cores as u64 * 100;
                for index in 0..total {
                    let v4 = Network::V4(0x0a00_0000 + (index * step) as u32);
                    let v6 = Network::V6(0x2001_0db8_0000_0000 + index * step);
                    counts[0][core_of(v4, cores)] += 1;
                    counts[1][core_of(v6, cores)] += 1;
                }
                for count in counts.iter().flatten() {
                    assert!((50..=200).contains(count), "{cores} {step} {count}");
                }
            }
        }
    }

    #[test]
    fn a_packet_stays_on_its_cpu_if_that_one_serves() {
        let program = by_cpu(&[0, 2, 5]);
        let cores = [0, 1, 2, 3, 4, 5, 6].map(|cpu| run(&program, &[], cpu));
        assert_eq!(cores, [0, 1, 1, 0, 1, 2, 0]);
        let many: Vec<usize> = (0..5000).collect();
        assert!(by_cpu(&many).len() <= 4096);
        assert_eq!(run(&by_cpu(&many), &[], 4999), 4999);
    }
}
