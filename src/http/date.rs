//! The Date field (RFC 9110 §6.6.1) as IMF-fixdate (§5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Bytes of an IMF-fixdate.
pub const DATE_BYTES: usize = 29;

/// A time as IMF-fixdate, from seconds since 1970-01-01T00:00:00Z. Past the year 9999, which the
/// format can't say, it stays at that year's end.
pub fn imf_fixdate(unix_seconds: u64) -> [u8; DATE_BYTES] {
    let timestamp = i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX);
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp)
        .ok()
        .and_then(|text| <[u8; DATE_BYTES]>::try_from(text.as_bytes()).ok())
        .expect("a time between the years 1970 and 9999 has an IMF-fixdate, all of one length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), // RFC 9110 §5.6.7
            (946_684_799, "Fri, 31 Dec 1999 23:59:59 GMT"),
            (946_684_800, "Sat, 01 Jan 2000 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), // 2000 is a leap year
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_740_787_200, "Sat, 01 Mar 2025 00:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"), // past 31 bits
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"), // 2100 is not
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let date = imf_fixdate(seconds);
            assert_eq!(std::str::from_utf8(&date).unwrap(), expected);
        }
    }

    #[test]
    fn the_end_of_time_does_not_panic() {
        for seconds in [253_402_300_799, 253_402_300_800, i64::MAX as u64, u64::MAX] {
            let date = imf_fixdate(seconds);
            assert!(date.ends_with(b" GMT") && date[12..16] == *b"9999");
        }
    }
}
