//! What comes from Postgres is cut short, torn, delayed or not Postgres's at all.

use std::time::Duration;

use crate::fixture::{lines, until, with};
use crate::gated::batches;
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Ask, Load, ROUTES, SCHEMA, Seen, ask, unique_key};
use crate::support::proxy::{Harm, How, Proxy, When};

const NAME: &str = "pinion";

/// What ends a connection in the middle of an answer, and is noticed at once.
const ENDS: [How; 4] = [
    How::Close,
    How::Reset,
    How::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    How::Garbage(b"D\xff\xff\xff\xffD\0\0\0\x0b"),
];

/// A server that reaches its Postgres through a proxy.
struct Behind {
    cluster: Cluster,
    proxy: Proxy,
    server: Server,
    /// Connections that were opened, or are to be.
    opened: usize,
}

impl Behind {
    fn start(connections: usize, flags: &[&str]) -> Behind {
        let cluster = Cluster::start("", SCHEMA);
        let proxy = Proxy::start(&cluster.socket());
        let count = connections.to_string();
        let log = ["--log", "info,pinion::pg=debug"];
        let flags = [&log, &["--connections-per-core", &count], flags].concat();
        let server = Server::start(ROUTES, &proxy.url(), &flags).ready();
        let mut behind = Behind {
            cluster,
            proxy,
            server,
            opened: connections,
        };
        behind.wait_until_whole();
        behind
    }

    /// Waits until all connections are open, and Postgres has nothing more to say on them.
    fn wait_until_whole(&mut self) {
        let mut passed = usize::MAX;
        until("all connections are there", || {
            let before = std::mem::replace(&mut passed, self.proxy.passed());
            let opened = lines(&mut self.server, "DEBUG connected to Postgres");
            before == passed && opened >= self.opened
        });
    }

    /// Ends all connections.
    fn terminate(&mut self) {
        self.opened += self.cluster.terminate(NAME, "all");
    }

    /// Asks on one connection, all at once.
    fn ask(&self, asks: &[Ask]) -> Vec<Seen> {
        ask(&mut self.server.client(), asks.to_vec())
    }

    /// Asks while the answer is cut, and waits until all is whole again.
    fn ask_and_cut(&mut self, asks: &[Ask], cut: usize) -> Vec<Seen> {
        self.proxy.harm(When::After(cut), ENDS[cut % ENDS.len()]);
        self.opened += 1;
        let seen = self.ask(asks);
        assert!(self.proxy.has_harmed());
        self.wait_until_whole();
        seen
    }

    /// The bytes with which Postgres answers these.
    fn answered_with(&mut self, asks: &[Ask]) -> usize {
        let before = self.proxy.passed();
        assert!(self.ask(asks).iter().all(|seen| seen.status < 300));
        self.wait_until_whole();
        self.proxy.passed() - before
    }
}

#[test]
fn a_read_that_is_cut_anywhere_is_run_again_and_a_write_never() {
    let mut behind = Behind::start(3, &[]);
    let length = behind.answered_with(&[Ask::Plain(7)]);
    for cut in 0..=length {
        let seen = behind.ask_and_cut(&[Ask::Plain(7)], cut);
        assert_eq!(seen[0].status, 200, "cut after {cut} of {length}");
    }
    let key = |number: usize| format!("cut{number:04}");
    let length = behind.answered_with(&[Ask::Write(key(9999))]);
    for cut in 0..=length {
        let key = key(cut);
        let seen = behind.ask_and_cut(&[Ask::Write(key.clone())], cut);
        // All of it came, or it is not known what became of it; it was done each time, and once.
        let status = if cut < length { 503 } else { 201 };
        let expected = (status, false);
        assert_eq!(
            (seen[0].status, seen[0].again),
            expected,
            "cut after {cut} of {length}"
        );
        let rows = format!("select count(*) from effects where key = '{key}'");
        assert_eq!(
            behind.cluster.sql(&rows),
            "1",
            "cut after {cut} of {length}"
        );
    }
}

#[test]
fn a_batch_or_a_list_that_is_cut_anywhere_is_run_again() {
    let mut behind = Behind::start(3, &[]);
    let batch: Vec<Ask> = (1..=12).map(|id| Ask::Item(id * 3)).collect();
    let list = vec![Ask::List(11)];
    // All of a pass go together: the answer is one, a little shorter or longer by the way it came.
    for asks in [batch, list] {
        // Only four go out before it is known how long the answers are.
        behind.answered_with(&asks);
        let length = behind.answered_with(&asks);
        for cut in (0..=length).step_by(13) {
            let seen = behind.ask_and_cut(&asks, cut);
            let refused = seen.iter().find(|seen| seen.status != 200);
            assert!(
                refused.is_none(),
                "cut after {cut} of {length}: {refused:?}"
            );
        }
    }
    let (batches, requests, _) = batches(&mut behind.server, "get_item");
    assert!(batches < requests, "{batches} batches of {requests}");
}

#[test]
fn pipelined_requests_on_one_connection_that_is_cut_get_their_own_answers_or_none() {
    let mut behind = Behind::start(2, &[]);
    let asks = |round: usize| {
        vec![
            Ask::Item(round + 1),
            Ask::Write(unique_key()),
            Ask::Plain(round + 2),
            Ask::List(round + 3),
            Ask::Write(unique_key()),
            Ask::Plain(round + 4),
            Ask::Item(round + 5),
        ]
    };
    let length = behind.answered_with(&asks(0));
    // They go on two connections, only one of which is cut.
    for cut in (0..length / 3).step_by(11) {
        for seen in behind.ask_and_cut(&asks(cut), cut) {
            let Ask::Write(key) = &seen.ask else {
                assert_eq!(seen.status, 200, "{seen:?}, cut after {cut}");
                continue;
            };
            let rows = format!("select count(*) from effects where key = '{key}'");
            let rows = behind.cluster.sql(&rows);
            match (seen.status, seen.again) {
                (201, _) => assert_eq!(rows, "1"),
                (503, false) => assert!(rows == "0" || rows == "1", "{rows}"),
                _ => panic!("{seen:?}"),
            }
        }
    }
}

#[test]
fn an_answer_that_comes_in_single_bytes_or_late_is_the_right_one() {
    let mut behind = Behind::start(2, &["--statement-timeout", "20s"]);
    behind.proxy.dribble(true);
    // New connections are opened by single bytes, too.
    behind.terminate();
    behind.wait_until_whole();
    let ((), tally) = Load::during(behind.server.address, || {
        std::thread::sleep(Duration::from_millis(700));
        behind.proxy.dribble(false);
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(100));
            behind.proxy.hold(true);
            std::thread::sleep(Duration::from_millis(150));
            behind.proxy.hold(false);
        }
    });
    tally.expect(&[200], &[201]);
    tally.check_writes(&behind.cluster);
}

#[test]
fn answers_that_come_after_their_connection_was_given_up_are_nobodys() {
    let mut behind = Behind::start(2, &["--statement-timeout", "300ms"]);
    let server = &mut behind.server;
    let (proxy, cluster) = (&behind.proxy, &behind.cluster);
    let ((), tally) = Load::during(server.address, || {
        proxy.hold(true);
        until("it is given up", || {
            lines(server, "silent for too long") > 0
        });
        std::thread::sleep(Duration::from_millis(500));
        proxy.hold(false);
        until("ready", || server.get("/ready").status == 200);
        // One connection alone, in the middle of an answer: the other one goes on.
        for cut in [3, 30, 300] {
            proxy.harm(When::After(cut), How::Silence);
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    tally.expect(&[200, 503], &[201, 503]);
    tally.check_writes(cluster);
    assert!(lines(server, " WARN ") <= 10, "{:?}", server.log());
}

#[test]
fn a_session_that_is_harmed_while_it_is_opened_is_opened_again() {
    let connections = 12;
    let mut behind = Behind::start(connections, &[]);
    let before = behind.proxy.passed();
    behind.terminate();
    behind.wait_until_whole();
    // Authentication, settings, the statements' descriptions, what becomes of batches.
    let opening = (behind.proxy.passed() - before) / connections;
    assert!(opening > 500, "{opening}");
    let cuts = (0..opening).step_by(opening / 60);
    let harms = cuts.clone().enumerate().map(|(number, cut)| Harm {
        when: When::After(cut),
        how: ENDS[number % ENDS.len()],
    });
    behind.proxy.harm_new(harms);
    let load = Load::start(behind.server.address);
    until("all harm is done", || {
        behind.cluster.terminate(NAME, "all");
        std::thread::sleep(Duration::from_millis(300));
        behind.proxy.harms_left() == 0
    });
    until("all sessions are there", || {
        behind.cluster.backends(NAME).len() == connections
    });
    std::thread::sleep(Duration::from_millis(300));
    let tally = load.stop();
    tally.expect(&[200, 503], &[201, 503]);
    tally.check_writes(&behind.cluster);
    let ((), tally) = Load::during(behind.server.address, || ());
    tally.expect(&[200], &[201]);
}

#[test]
fn a_session_that_falls_silent_while_it_is_opened_keeps_no_other_waiting() {
    let cluster = Cluster::start("", SCHEMA);
    let proxy = Proxy::start(&cluster.socket());
    // While Postgres is asked which routes to batch: first the check at the start, which gives it up.
    proxy.harm(When::Saying(b"QUERY PLAN", 0), How::Silence);
    let url = with(&proxy.url(), "connect_timeout=2");
    let flags = ["--statement-timeout", "8s"];
    let mut server = Server::start(ROUTES, &url, &flags);
    server.wait_for_line("Postgres was silent while the statements were prepared");
    drop(server.ready());
    // Then, past the two plans that the check asks for, the connection that asks for all others.
    proxy.harm(When::Saying(b"QUERY PLAN", 2), How::Silence);
    let mut server = Server::start(ROUTES, &url, &flags).ready();
    until("it is silent", || proxy.has_harmed());
    let asks = [
        Ask::Item(1),
        Ask::Plain(2),
        Ask::List(3),
        Ask::Write(unique_key()),
    ];
    for seen in ask(&mut server.client(), asks.to_vec()) {
        assert!(seen.status < 300, "{seen:?}");
    }
    // It is ten seconds until it is given up.
    assert_eq!(lines(&mut server, " WARN "), 0, "{:?}", server.log());
    // Silent from the first byte on, it is given up as any attempt is.
    proxy.harm_new((0..3).map(|cut| Harm {
        when: When::After(cut * 9),
        how: How::Silence,
    }));
    cluster.terminate(NAME, "all");
    until("served by the one that is not", || {
        server.get("/items/1").status == 200
    });
}
