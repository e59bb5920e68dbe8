//! Files that are damaged, cut, foreign or hostile: a clear error with file and line, and no panic.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use pinion::report::{self as library, Options};

use crate::dumps::Recorded;
use crate::report;
use crate::support::TempDir;

/// The text of a log of two lines, the first of them line 10.
fn log() -> String {
    let place = TempDir::new();
    let mut recorded = Recorded::start(place.path(), &[0], &["get_user"]);
    recorded.core(0, |core| {
        core.totals("get_user", 1000..1100);
        core.request("/health", [5, 0, 0, 5]);
    });
    let dump = recorded.dump(60).expect("a dump");
    fs::read_to_string(dump.join("core0.hlog")).expect("a log")
}

/// What is said of a log of this text, after its path.
fn fault(bytes: impl AsRef<[u8]>) -> String {
    let place = TempDir::new();
    let path = place.path().join("core0.hlog");
    fs::write(&path, bytes).expect("a file");
    let run = report([&path]);
    assert_eq!((run.code, run.out.as_str()), (1, ""), "{}", run.err);
    let start = format!("error: {}:", path.display());
    let words = run.err.strip_prefix(&start);
    words
        .unwrap_or_else(|| panic!("{}", run.err))
        .trim_end()
        .to_owned()
}

/// The log with its first histogram put in another's place.
fn with_payload(payload: &str) -> String {
    let log = log();
    let line = log
        .lines()
        .find(|line| line.starts_with("Tag="))
        .expect("a line");
    let (_, old) = line.rsplit_once(',').expect("a payload");
    log.replace(old, payload)
}

/// A histogram in Base64: head and counts as they are given.
fn payload(digits: u32, low: u64, high: u64, length: u32, counts: &[u8]) -> String {
    let mut plain = Vec::new();
    for word in [0x1c84_9313, length, 0, digits] {
        plain.extend(word.to_be_bytes());
    }
    for long in [low, high, 1.0_f64.to_bits()] {
        plain.extend(long.to_be_bytes());
    }
    plain.extend(counts);
    deflated(&plain)
}

fn deflated(plain: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("memory");
    let packed = encoder.finish().expect("memory");
    let mut bytes = 0x1c84_9314_u32.to_be_bytes().to_vec();
    bytes.extend((packed.len() as u32).to_be_bytes());
    bytes.extend(packed);
    STANDARD.encode(bytes)
}

#[test]
fn each_fault_is_told_with_its_line() {
    let log = log();
    let line = |number: usize| log.lines().nth(number - 1).expect("a line");
    assert!(line(9).starts_with("Tag=get_user:total,"), "{log}");
    let without = |number: usize| log.replacen(&format!("{}\n", line(number)), "", 1);
    let last = log.lines().count();
    for (text, expected) in [
        (
            String::new(),
            "1: this is no HdrHistogram log, version 1.3".to_owned(),
        ),
        (
            "{\"a\": 1}\n".to_owned(),
            "1: this is no HdrHistogram log, version 1.3".to_owned(),
        ),
        (
            log.replace("version 1.3", "version 1.2"),
            "1: this is no HdrHistogram log, version 1.3".to_owned(),
        ),
        (
            without(3),
            "7: this log was not written by pinion, or not whole: its origin or times are missing"
                .to_owned(),
        ),
        (
            without(6),
            "7: this log was not written by pinion, or not whole: its origin or times are missing"
                .to_owned(),
        ),
        (
            log.replace("EndTime: 1795338960", "EndTime: 1795338840"),
            "8: its times are not in order".to_owned(),
        ),
        (
            log.replace("EndTime: 1795338960.000", "EndTime: soon"),
            "6: this is no time".to_owned(),
        ),
        (
            without(last),
            format!("{last}: the file is cut: its last line is missing"),
        ),
        (
            log[..log.len() - 1].to_owned(),
            format!("{last}: the file is cut within this line"),
        ),
        (
            without(9),
            format!(
                "{}: there are not as many histograms before this line as it says",
                last - 1
            ),
        ),
        (
            log.clone() + &log,
            format!("{}: more follows after the end of the log", last + 1),
        ),
        (
            log.replace(line(10), line(9)),
            "10: this route and stage have come before".to_owned(),
        ),
        (
            log.replace("Tag=get_user:total", "Tag=get_user:rest"),
            "9: its tag ends with no stage that is known".to_owned(),
        ),
        (
            log.replace("Tag=get_user:total", "Tag=get_user"),
            "9: its tag is not ROUTE:STAGE".to_owned(),
        ),
        (
            log.replace("Tag=get_user:total", "Tag=<b>:total"),
            "9: its tag begins with no name of a route".to_owned(),
        ),
        (
            log.replace("total,0.000,", "total,now,"),
            "9: its times and its maximum are no numbers".to_owned(),
        ),
        (
            log.replace("Tag=get_user:total,", ""),
            "9: this is no line of a dump of pinion".to_owned(),
        ),
        (
            log.replacen("HIST", "HI!T", 1),
            "9: its histogram is no Base64: Invalid symbol 33, offset 2.".to_owned(),
        ),
        (with_payload(""), "9: its histogram is cut".to_owned()),
        (
            with_payload("AAAAAAAAAAA="),
            "9: its histogram is not of the form \"V2 deflate\"".to_owned(),
        ),
    ] {
        assert_eq!(fault(&text), expected, "{text}");
    }
    let half = line(9).len() / 2;
    let cut = format!("{}\n", &line(9)[..half]);
    assert!(fault(log.replace(&format!("{}\n", line(9)), &cut)).starts_with("9: its histogram "));
    assert_eq!(fault(b"#[Histogram log\xff\n"), "1: this is no text");
}

#[test]
fn a_histogram_that_claims_to_be_huge_is_refused_before_it_is_made() {
    let ours = |length, counts: &[u8]| with_payload(&payload(3, 1, 60_000_000, length, counts));
    for (text, expected) in [
        // Four gigabytes of counts, it says.
        (ours(u32::MAX, &[2]), "9: its histogram is damaged"),
        (
            with_payload(&payload(5, 1, u64::MAX / 2, 1, &[2])),
            "with 5 digits, which pinion's are not",
        ),
        (
            with_payload(&payload(3, 1, u64::MAX, 1, &[2])),
            "which pinion's are not",
        ),
        // The least number there is: its magnitude is none of 64 bits.
        (
            ours(9, &[0xff; 9]),
            "9: its histogram has a count that can't be",
        ),
        (
            ours(9, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            "9: its histogram has a count that can't be",
        ),
        // More zeros than there are counts.
        (
            ours(4, &[0xff, 0xff, 0xff, 0x7f]),
            "9: its histogram is damaged",
        ),
        // Half a number.
        (ours(1, &[0x80]), "9: its histogram is damaged"),
        // Ten megabytes of zeros in ten kilobytes.
        (
            with_payload(&deflated(&vec![0; 10 << 20])),
            "9: its histogram is larger than those of a dump",
        ),
        (
            with_payload(&deflated(&[0; 39])),
            "9: its histogram is damaged",
        ),
    ] {
        let said = fault(&text);
        assert!(
            said.starts_with("9: ") && said.ends_with(expected),
            "{said} for {expected}"
        );
    }
    let long = log().replacen("HIST", &"A".repeat(600 * 1024), 1);
    assert_eq!(fault(long), "9: the line is longer than those of a dump");
}

#[test]
fn no_more_routes_are_taken_than_there_is_memory_for() {
    let log = log();
    let line = log.lines().nth(8).expect("a line");
    let many = |count: usize| {
        let (head, _) = log.split_once(line).expect("the line");
        let lines = (0..count).map(|index| line.replace("get_user:", &format!("r{index}:")) + "\n");
        format!(
            "{head}{}#[End: {count} histograms]\n",
            lines.collect::<String>()
        )
    };
    let said = fault(many(1001));
    assert_eq!(said, "1009: there are more routes than a report can have");
}

/// Through the library, as a program for each case would take minutes: what a fault is told as.
fn outcome(bytes: &[u8]) -> Result<(), String> {
    let place = TempDir::new();
    let path: PathBuf = place.path().join("core0.hlog");
    fs::write(&path, bytes).expect("a file");
    let options = Options {
        dumps: vec![path.clone()],
        ..Options::default()
    };
    match library::run(&options) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string().replace(&path.display().to_string(), "")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_error_with_a_line(bytes: Vec<u8>) {
        prop_assert!(outcome(&bytes).unwrap_err().starts_with(":1: "));
    }

    #[test]
    fn any_histogram_is_taken_or_told(
        packed: Vec<u8>,
        counts: Vec<u8>,
        is_packed: bool,
    ) {
        let text = match is_packed {
            true => STANDARD.encode(&packed),
            false => payload(3, 1, 60_000_000, counts.len() as u32, &counts),
        };
        if let Err(words) = outcome(with_payload(&text).as_bytes()) {
            prop_assert!(words.starts_with(":9: "), "{}", words);
        }
    }

    #[test]
    fn a_log_with_other_bytes_in_it_is_taken_or_told(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = log().into_bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if is_cut {
            bytes.truncate(end.index(bytes.len()));
        }
        match outcome(&bytes) {
            Ok(()) => prop_assert!(!is_cut),
            Err(words) => prop_assert!(words.starts_with(':'), "{}", words),
        }
    }
}
