//! The wire against bytes: whatever comes, in whatever pieces, each answer is heard by whoever asked, once.

use std::future::Future;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::api;
use crate::pg::session::Session;
use crate::ring::{self, Ring, Stream};

/// Who asked, and what was heard.
#[derive(Default)]
struct Heard {
    rows: RefCell<Vec<Vec<u8>>>,
    too_long: Cell<usize>,
    ends: RefCell<Vec<End>>,
}

impl Receiver for Heard {
    fn row(&self, body: &[u8]) {
        assert!(self.ends.borrow().is_empty(), "a row after the end");
        self.rows.borrow_mut().push(body.to_vec());
    }

    fn row_too_long(&self) {
        self.too_long.set(self.too_long.get() + 1);
    }

    fn end(&self, end: End) {
        self.ends.borrow_mut().push(end);
    }
}

impl Heard {
    /// How it ended, in words; empty while it has not. It ends once.
    fn end(&self) -> String {
        let ends = self.ends.borrow();
        assert!(ends.len() <= 1, "{ends:?}");
        ends.first().map_or(String::new(), |end| match end {
            End::Complete => "complete".to_owned(),
            End::Refused(stage, refusal) => format!("{stage:?} {}", refusal.state),
            End::Lost(reason) => format!("lost: {reason}"),
        })
    }
}

/// A connection: its wire, what stands for the driver, and the server's side.
struct Link {
    wire: Rc<Wire>,
    tap: Rc<RefCell<Option<Tap>>>,
    /// What the driver has read.
    read: Rc<RefCell<Vec<u8>>>,
    server: UnixStream,
}

impl Link {
    /// With an open session.
    fn new(ring: &Rc<Ring>) -> Link {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let wire = Wire::new(Stream::adopt(ring, ours));
        let tap = Rc::new(RefCell::new(Some(wire.tap())));
        let read = Rc::<RefCell<Vec<u8>>>::default();
        ring.spawn(drive(tap.clone(), read.clone()));
        server.write_all(&READY).unwrap();
        Link {
            wire,
            tap,
            read,
            server,
        }
    }

    async fn opened(ring: &Rc<Ring>) -> Link {
        let link = Link::new(ring);
        until(ring, || link.read.borrow().len() == READY.len()).await;
        link.read.borrow_mut().clear();
        link
    }

    fn ask(&self) -> Rc<Heard> {
        let heard = Rc::<Heard>::default();
        assert!(self.wire.send(None, b"", |_| (), heard.clone()));
        heard
    }

    /// With settings before it.
    fn ask_with_settings(&self) -> Rc<Heard> {
        let heard = Rc::<Heard>::default();
        let session = Session::new(api::Settings::default(), |_| unreachable!("there is none"));
        let settings = Some(Settings::new(b"", &session));
        assert!(self.wire.send(settings, b"", |_| (), heard.clone()));
        heard
    }

    fn ask_as_driver(&self) {
        let mut tap = self.tap.borrow_mut();
        let tap = Pin::new(tap.as_mut().expect("it is open"));
        let mut context = Context::from_waker(Waker::noop());
        let query = message(b'Q', b"select\0");
        assert!(matches!(
            tap.poll_write(&mut context, &query),
            Poll::Ready(Ok(12))
        ));
    }
}

/// Reads as the driver does, until the end.
async fn drive(tap: Rc<RefCell<Option<Tap>>>, read: Rc<RefCell<Vec<u8>>>) {
    loop {
        let mut space = [0; 1000];
        let count = poll_fn(|context| {
            let mut tap = tap.borrow_mut();
            let mut buffer = ReadBuf::new(&mut space);
            let tap = Pin::new(tap.as_mut().expect("nobody else takes it"));
            tap.poll_read(context, &mut buffer)
                .map(|outcome| outcome.map(|()| buffer.filled().len()))
        });
        match count.await {
            Ok(0) | Err(_) => break,
            Ok(count) => read.borrow_mut().extend_from_slice(&space[..count]),
        }
    }
    drop(tap.take());
}

fn on_ring<F: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<Ring>) -> F) {
    ring::run(None, &ring::Options::default(), test).expect("a ring");
}

async fn until(ring: &Rc<Ring>, what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        ring.sleep(Duration::from_micros(100)).await;
    }
}

const READY: [u8; 6] = *b"Z\0\0\0\x05I";

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn error(severity: &str, state: &str) -> Vec<u8> {
    message(
        b'E',
        format!("V{severity}\0C{state}\0Mthe words\0\0").as_bytes(),
    )
}

/// One answer of the server, with what may come at any time in between.
#[derive(Clone, Debug)]
enum Part {
    Rows(Vec<usize>),
    /// Refused after BindComplete and so many rows, or before.
    Refused(Option<usize>),
    /// What comes after settings that were made, with a row of so many bytes.
    Told(usize, Box<Part>),
    /// Settings that were refused before BindComplete or after it.
    RefusedSettings(bool),
    Driver,
}

/// A row of so many bytes.
fn row(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 31 + length) as u8)
        .collect()
}

impl Part {
    /// The server's messages.
    fn messages(&self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        match self {
            Part::Told(length, part) => {
                messages.push(message(b'2', b""));
                messages.push(message(b'D', &row(*length)));
                messages.push(message(b'C', b"SELECT 1\0"));
                return [messages, part.messages()].concat();
            }
            Part::RefusedSettings(is_bound) => {
                messages.extend(is_bound.then(|| message(b'2', b"")));
                messages.push(error("ERROR", "42501"));
            }
            Part::Rows(rows) => {
                messages.push(message(b'2', b""));
                messages.extend(rows.iter().map(|length| message(b'D', &row(*length))));
                messages.push(message(b'C', b"SELECT 1\0"));
            }
            Part::Refused(rows) => {
                if let Some(rows) = *rows {
                    messages.push(message(b'2', b""));
                    messages.extend((0..rows).map(|length| message(b'D', &row(length))));
                }
                messages.push(error("ERROR", "22012"));
            }
            Part::Driver => {
                messages.push(message(b'T', b"\0\0"));
                messages.push(message(b'D', b"the driver's"));
                messages.push(message(b'C', b"SELECT 1\0"));
            }
        }
        messages.push(READY.to_vec());
        messages
    }
}

fn part() -> impl Strategy<Value = Part> {
    // Around what is left in the input (16 KiB with the header) and what it may hold (64 KiB).
    let length = prop_oneof![
        6 => 0..200_usize,
        1 => 16 * 1024 - 8..16 * 1024 + 3_usize,
        1 => Just(40_000_usize),
        1 => 65_500..65_600_usize,
        1 => Just(300_000_usize),
    ];
    let statement = prop_oneof![
        4 => vec(length, 0..6).prop_map(Part::Rows),
        1 => proptest::option::of(0..3_usize).prop_map(Part::Refused),
    ];
    let told = (0..200_usize, statement.clone());
    prop_oneof![
        5 => statement,
        3 => told.prop_map(|(length, part)| Part::Told(length, Box::new(part))),
        1 => any::<bool>().prop_map(Part::RefusedSettings),
        2 => Just(Part::Driver),
    ]
}

/// Bytes of one message that may come at any time.
fn aside(kind: u8) -> Option<Vec<u8>> {
    match kind {
        0 => Some(message(b'N', b"SNOTICE\0C00000\0Mso\0\0")),
        1 => Some(message(b'S', b"TimeZone\0UTC\0")),
        2 => Some(message(b'A', b"\0\0\0\x01channel\0\0")),
        _ => None,
    }
}

#[test]
fn each_hears_its_own_answer_however_the_bytes_are_split() {
    let parts = vec(part(), 1..12);
    let asides = vec(0..8_u8, 40);
    let splits = vec(any::<prop::sample::Index>(), 0..30);
    let mut runner = TestRunner::new(Config::with_cases(100));
    let outcome = runner.run(&(parts, asides, splits), |(parts, asides, splits)| {
        let mut asides = asides.into_iter().cycle();
        let (mut bytes, mut for_driver) = (Vec::new(), Vec::new());
        for part in &parts {
            for message in part.messages() {
                if let Some(aside) = asides.next().and_then(aside) {
                    bytes.extend_from_slice(&aside);
                    for_driver.extend_from_slice(&aside);
                }
                bytes.extend_from_slice(&message);
                if let Part::Driver = part {
                    for_driver.extend_from_slice(&message);
                }
            }
        }
        let mut splits: Vec<usize> = splits.iter().map(|it| it.index(bytes.len())).collect();
        splits.sort_unstable();
        on_ring(|ring| async move {
            let link = Link::opened(&ring).await;
            let mut heard = Vec::new();
            for part in &parts {
                match part {
                    Part::Driver => link.ask_as_driver(),
                    Part::Told(_, inner) => {
                        heard.push(((**inner).clone(), link.ask_with_settings()));
                    }
                    Part::RefusedSettings(_) => {
                        heard.push((part.clone(), link.ask_with_settings()));
                    }
                    _ => heard.push((part.clone(), link.ask())),
                }
            }
            let mut server = link.server.try_clone().unwrap();
            let writer = thread::spawn(move || {
                let mut done = 0;
                for split in splits.into_iter().chain([bytes.len()]) {
                    server.write_all(&bytes[done..split]).unwrap();
                    done = split;
                    thread::sleep(Duration::from_micros(200));
                }
            });
            until(&ring, || {
                let all = heard.iter().all(|(_, heard)| !heard.end().is_empty());
                all && link.read.borrow().len() >= for_driver.len()
            })
            .await;
            writer.join().unwrap();
            assert_eq!(*link.read.borrow(), for_driver);
            for (part, heard) in heard {
                let (rows, end) = match part {
                    Part::Rows(lengths) => (lengths, "complete"),
                    Part::Refused(Some(rows)) => ((0..rows).collect(), "Execute 22012"),
                    Part::Refused(None) => (Vec::new(), "Bind 22012"),
                    Part::RefusedSettings(_) => (Vec::new(), "Settings 42501"),
                    Part::Told(..) => unreachable!("what it holds was kept"),
                    Part::Driver => unreachable!("it has no receiver"),
                };
                assert_eq!(heard.end(), end);
                let rows: Vec<Vec<u8>> = rows.into_iter().map(row).collect();
                assert!(*heard.rows.borrow() == rows, "other rows");
            }
            assert!(link.wire.turns.borrow().queue.is_empty());
            assert_eq!(
                link.wire.long.borrow().capacity(),
                0,
                "memory is given back"
            );
            assert!(!link.wire.is_ended());
        });
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn an_end_at_any_byte_is_told_to_all_that_wait_once() {
    let parts = [
        Part::Rows(vec![3, 0]),
        Part::Driver,
        Part::Refused(Some(1)),
        Part::Rows(vec![7]),
    ];
    let answers: Vec<Vec<u8>> = parts.iter().map(|part| part.messages().concat()).collect();
    let bytes = answers.concat();
    on_ring(|ring| async move {
        for cut in 0..=bytes.len() {
            let mut link = Link::opened(&ring).await;
            let first = link.ask();
            link.ask_as_driver();
            let others = [link.ask(), link.ask()];
            link.server.write_all(&bytes[..cut]).unwrap();
            link.server.shutdown(Shutdown::Write).unwrap();
            until(&ring, || link.wire.is_ended()).await;
            let mut end = 0;
            let mut whole = answers.iter().map(|answer| {
                end += answer.len();
                end <= cut
            });
            let lost = "lost: Postgres closed the connection";
            let told = |whole: bool, words| if whole { words } else { lost };
            let mut is_whole = || whole.next().expect("one for each");
            assert_eq!(first.end(), told(is_whole(), "complete"), "{cut}");
            is_whole();
            assert_eq!(others[0].end(), told(is_whole(), "Execute 22012"), "{cut}");
            assert_eq!(others[1].end(), told(is_whole(), "complete"), "{cut}");
            until(&ring, || link.tap.borrow().is_none()).await;
            assert!(!link.wire.send(None, b"", |_| (), Rc::<Heard>::default()));
        }
        assert_eq!(ring.held(), 0, "sockets are left");
    });
}

/// How a statement in the middle of its rows and one behind it end by these bytes.
fn ends_by(bytes: Vec<u8>) -> [String; 2] {
    let ends = Rc::<RefCell<[String; 2]>>::default();
    let told = ends.clone();
    on_ring(|ring| async move {
        let mut link = Link::opened(&ring).await;
        let asked = [link.ask(), link.ask()];
        let before = [message(b'2', b""), message(b'D', b"row")].concat();
        link.server.write_all(&[before, bytes].concat()).unwrap();
        until(&ring, || !asked[0].end().is_empty()).await;
        assert_eq!(asked[0].rows.borrow().len(), 1);
        told.replace(asked.map(|it| it.end()));
    });
    ends.take()
}

#[test]
fn a_fatal_error_is_the_end_of_all_and_tells_why() {
    for severity in ["FATAL", "PANIC"] {
        let ends = ends_by([error(severity, "57P01"), READY.to_vec()].concat());
        assert_eq!(ends, ["lost: the words (57P01)", "lost: the words (57P01)"]);
    }
    let ends = ends_by([error("ERROR", "57P01"), READY.to_vec()].concat());
    assert_eq!(ends, ["Execute 57P01", ""]);
}

#[test]
fn what_nobody_has_asked_for_ends_the_connection() {
    for tag in *b"GHWdc1tTnRKsv?" {
        let ends = ends_by([message(tag, b"\0\0\0\0"), READY.to_vec()].concat());
        let words = format!("lost: unexpected message {:?} from Postgres", tag as char);
        assert_eq!(ends, [words.clone(), words]);
    }
    for garbage in [&b"D\0\0\0\x03"[..], b"D\xff\xff\xff\xff", b"E\0\0\0\x05\0"] {
        let ends = ends_by(garbage.to_vec());
        assert!(ends.iter().all(|end| end.starts_with("lost: ")), "{ends:?}");
    }
}

#[test]
fn a_transaction_that_stays_open_ends_the_connection() {
    for status in [b"T", b"E"] {
        let ends = ends_by(message(b'Z', status));
        let words = "lost: a statement left a transaction open";
        assert_eq!(ends, [words, words]);
    }
}

#[test]
fn settings_alone_are_no_answer() {
    on_ring(|ring| async move {
        for bytes in [
            [
                message(b'2', b""),
                message(b'C', b"SELECT 1\0"),
                READY.to_vec(),
            ]
            .concat(),
            READY.to_vec(),
        ] {
            let mut link = Link::opened(&ring).await;
            let heard = link.ask_with_settings();
            link.server.write_all(&bytes).unwrap();
            until(&ring, || !heard.end().is_empty()).await;
            assert_eq!(heard.end(), "lost: Postgres has left a statement out");
        }
        // A row before there is a portal is none of the statement's.
        let mut link = Link::opened(&ring).await;
        let heard = link.ask_with_settings();
        let made = [message(b'2', b""), message(b'C', b"SELECT 1\0")].concat();
        link.server
            .write_all(&[made, message(b'D', b"row")].concat())
            .unwrap();
        until(&ring, || !heard.end().is_empty()).await;
        assert_eq!(heard.end(), "lost: unexpected message 'D' from Postgres");
        assert!(heard.rows.borrow().is_empty());
    });
}

#[test]
fn last_words_that_answer_the_driver_are_the_drivers() {
    on_ring(|ring| async move {
        let mut link = Link::opened(&ring).await;
        link.ask_as_driver();
        let heard = link.ask();
        let words = error("FATAL", "57P01");
        link.server.write_all(&words).unwrap();
        until(&ring, || link.read.borrow().len() == words.len()).await;
        assert!(*link.read.borrow() == words && heard.end().is_empty());
        link.server.shutdown(Shutdown::Write).unwrap();
        until(&ring, || link.wire.is_ended()).await;
        assert_eq!(heard.end(), "lost: Postgres closed the connection");
    });
}

#[test]
fn a_row_that_is_too_long_is_skipped_and_only_a_row_may_be() {
    on_ring(|ring| async move {
        let link = Link::opened(&ring).await;
        let asked = [link.ask(), link.ask()];
        let mut server = link.server.try_clone().unwrap();
        let writer = thread::spawn(move || {
            let longest = vec![7; MESSAGE_BYTES_MAX - HEADER_BYTES + 1];
            server.write_all(&message(b'2', b"")).unwrap();
            for length in [longest.len() - 1, longest.len(), 3] {
                let row = message(b'D', &longest[..length]);
                server.write_all(&row).unwrap();
            }
            let end = [&READY[..], &message(b'2', b""), &READY].concat();
            server.write_all(&end).unwrap();
        });
        until(&ring, || !asked[1].end().is_empty()).await;
        writer.join().unwrap();
        let lengths: Vec<usize> = asked[0].rows.borrow().iter().map(Vec::len).collect();
        assert_eq!(lengths, [MESSAGE_BYTES_MAX - HEADER_BYTES, 3]);
        assert_eq!(asked[0].too_long.get(), 1);
        assert_eq!(asked.map(|it| it.end()), ["complete", "complete"]);
        assert_eq!(link.wire.long.borrow().capacity(), 0);
    });
    let length = (MESSAGE_BYTES_MAX as u32).to_be_bytes();
    let ends = ends_by([&b"E"[..], &length].concat());
    assert_eq!(ends[0], "lost: Postgres sent a message that is too long");
}

#[test]
fn any_bytes_at_all_end_in_an_answer_or_the_loss_of_the_connection() {
    let length = prop_oneof![9 => 0..40_u32, 1 => any::<u32>()];
    let body = vec(any::<u8>(), 0..36);
    let tag = prop_oneof![
        proptest::sample::select(&b"2DCEZINSATHGdc1RK"[..]),
        any::<u8>()
    ];
    let bytes = vec((tag, proptest::option::of(length), body), 0..20).prop_map(|messages| {
        let one = |(tag, length, body): (u8, Option<u32>, Vec<u8>)| match length {
            None => message(tag, &body),
            Some(length) => [&[tag], &length.to_be_bytes()[..], &body].concat(),
        };
        messages.into_iter().flat_map(one).collect::<Vec<u8>>()
    });
    let mut runner = TestRunner::new(Config::with_cases(300));
    let outcome = runner.run(&bytes, |bytes| {
        on_ring(|ring| async move {
            let mut link = Link::opened(&ring).await;
            let asked = [link.ask(), link.ask(), link.ask()];
            link.ask_as_driver();
            link.server.write_all(&bytes).unwrap();
            drop(link.server);
            until(&ring, || link.wire.is_ended()).await;
            assert!(asked.iter().all(|heard| !heard.end().is_empty()));
        });
        Ok(())
    });
    outcome.unwrap();
}
