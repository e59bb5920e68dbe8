//! One histogram of a log: Base64 of HdrHistogram's "V2 deflate" form.
//!
//! A payload says itself how large it is going to be, so it is looked at before the library makes a
//! histogram of it: whatever it says, a few hundred KB are allocated.
//!
//! ```text
//! cookie 0x1c849314, bytes that follow: 4 bytes each, big-endian; then compressed by zlib:
//! cookie 0x1c849313, bytes of counts, offset 0, digits: 4 bytes each; least, greatest: 8; ratio 1.0: 8
//! counts: zigzag LEB128 of at most 9 bytes; one below zero is so many zeros
//! ```

use std::io::Read;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::metrics::empty_histogram;

const COOKIE: u32 = 0x1c84_9313;
const COOKIE_DEFLATED: u32 = 0x1c84_9314;

/// Bytes before the counts.
const HEAD_BYTES: usize = 40;

/// A number has at most so many bytes.
const NUMBER_BYTES_MAX: usize = 9;

/// Of one value in one interval of one core: a million years of recording. So sums stay exact.
const COUNT_MAX: u64 = 1 << 40;

/// What a histogram has to be like.
static OURS: LazyLock<Histogram<u64>> = LazyLock::new(empty_histogram);

/// Decodes it, or says what is wrong with it.
pub(super) fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| format!("its histogram is no Base64: {error}"))?;
    let cut = || "its histogram is cut".to_owned();
    let (cookie, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
    let (length, packed) = rest.split_first_chunk().ok_or_else(cut)?;
    if u32::from_be_bytes(*cookie) != COOKIE_DEFLATED {
        return Err("its histogram is not of the form \"V2 deflate\"".to_owned());
    }
    if u32::from_be_bytes(*length) as usize != packed.len() {
        return Err(cut());
    }
    let bytes = inflate(packed)?;
    check(&bytes)?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| format!("its histogram can't be read: {error}"))
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>, String> {
    let most = HEAD_BYTES + OURS.distinct_values() * NUMBER_BYTES_MAX;
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed)
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("its histogram can't be inflated: {error}"))?;
    if bytes.len() > most {
        return Err("its histogram is larger than those of a dump".to_owned());
    }
    Ok(bytes)
}

/// That the histogram is like ours, and that its counts are such as there can be.
fn check(bytes: &[u8]) -> Result<(), String> {
    let damaged = || "its histogram is damaged".to_owned();
    let (head, counts) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(damaged)?;
    let word = |at: usize| {
        head[at..at + 4]
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u32::from(byte))
    };
    let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    if word(0) != COOKIE || word(4) as usize != counts.len() || word(8) != 0 {
        return Err(damaged());
    }
    let bounds = (long(16), long(24), word(12));
    if bounds != (OURS.low(), OURS.high(), u32::from(OURS.sigfig()))
        || long(32) != 1.0_f64.to_bits()
    {
        let (low, high, digits) = bounds;
        return Err(format!(
            "its histogram is from {low} to {high} with {digits} digits, which pinion's are not"
        ));
    }
    let mut rest = counts;
    let mut index = 0_u64;
    while !rest.is_empty() {
        let (number, length) = number(rest).ok_or_else(damaged)?;
        rest = &rest[length..];
        let is_zeros = number & 1 == 1;
        let magnitude = (number >> 1) + u64::from(is_zeros);
        if magnitude > COUNT_MAX {
            return Err("its histogram has a count that can't be".to_owned());
        }
        index += if is_zeros { magnitude } else { 1 };
        if index > OURS.distinct_values() as u64 {
            return Err(damaged());
        }
    }
    Ok(())
}

/// An unsigned number and how many bytes it has.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(NUMBER_BYTES_MAX).enumerate() {
        if index == NUMBER_BYTES_MAX - 1 {
            return Some((value | u64::from(byte) << 56, NUMBER_BYTES_MAX));
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
