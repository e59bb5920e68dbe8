use futures_util::FutureExt;
use futures_util::future::join;

use super::*;
use crate::{api, ring};

fn settings() -> config::Postgres {
    config::Postgres {
        connections: 4,
        statement_timeout: Duration::from_millis(500),
        acquire_timeout: Duration::from_millis(50),
        queue_target: limits::QUEUE_TARGET,
        recycle: Duration::ZERO,
    }
}

fn groups_of(lanes: &str, routes: &[&str]) -> Vec<Group> {
    let mut text = lanes.to_owned();
    for (index, settings) in routes.iter().enumerate() {
        text += &format!(
            "\n[[route]]\nname = \"r{index}\"\nmethod = \"GET\"\npath = \"/r{index}\"\n\
             result = \"scalar\"\nsql = \"select 1\"\n{settings}\n"
        );
    }
    let api = api::load("routes.toml", &text).expect("a routes file");
    groups(&api, &settings())
}

#[test]
fn routes_share_what_the_flags_say_unless_they_ask_for_more() {
    let found = groups_of("", &["", "timeout = \"500ms\"", ""]);
    assert_eq!(
        found.len(),
        1,
        "a timeout of the same length is no difference"
    );
    assert_eq!(found[0].routes, [0, 1, 2]);
    assert_eq!(found[0].connections, 4);
    assert_eq!(found[0].queue, limits::LANE_QUEUE);
    assert_eq!(found[0].depth, limits::PIPELINE_DEPTH_MAX);
    assert_eq!(found[0].statement_timeout, Duration::from_millis(500));
}

#[test]
fn a_lane_has_its_own_connections_and_queue() {
    let lanes = "[lane.slow]\nqueue = 7\n[lane.wide]\nconnections = 3\n[lane.unused]\n";
    let found = groups_of(lanes, &["lane = \"slow\"", "", "lane = \"wide\""]);
    let seen: Vec<_> = found
        .iter()
        .map(|it| (it.name.as_str(), it.connections, it.queue, &it.routes[..]))
        .collect();
    let queue = limits::LANE_QUEUE;
    assert_eq!(
        seen,
        [
            ("slow", 1, 7, &[0][..]),
            ("default", 4, queue, &[1][..]),
            ("wide", 3, queue, &[2][..]),
        ]
    );
}

#[test]
fn a_timeout_of_its_own_is_a_group_of_its_own() {
    let lanes = "[lane.wide]\nconnections = 3\n";
    let wide = "lane = \"wide\"\ntimeout = \"2s\"";
    let found = groups_of(lanes, &["timeout = \"2s\"", wide, "timeout = \"2000ms\""]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].routes, [0, 2]);
    // One connection, unless the lane declares how many.
    let connections: Vec<_> = found.iter().map(|it| it.connections).collect();
    assert_eq!(connections, [1, 3]);
    assert!(found.iter().all(|it| it.statement_timeout.as_secs() == 2));
}

#[test]
fn statements_that_may_be_cancelled_are_alone_on_their_connection() {
    let both = "cancel = true\ntimeout = \"2s\"";
    let found = groups_of("", &["cancel = true", "", both, "cancel = true"]);
    let seen: Vec<_> = found
        .iter()
        .map(|it| (it.depth, it.connections, &it.routes[..]))
        .collect();
    let depth = limits::PIPELINE_DEPTH_MAX;
    assert_eq!(
        seen,
        [(1, 4, &[0, 3][..]), (depth, 4, &[1][..]), (1, 4, &[2][..]),]
    );
}

fn with_lane<F: Future<Output = ()> + 'static>(
    queue: usize,
    test: impl FnOnce(Rc<Ring>, Rc<Lane>) -> F,
) {
    let mut group = groups_of("", &[""]).remove(0);
    group.queue = queue;
    ring::run(None, &ring::Options::default(), |ring| {
        let lane = Lane::new(&ring, &group, &settings());
        test(ring, lane)
    })
    .expect("a ring");
}

#[test]
fn whoever_gives_up_waiting_leaves_the_queue() {
    with_lane(1, |ring, lane| async move {
        // As the ring has it: a deadline is counted from the pass that it was set in.
        let start = ring.now();
        // Asked in this order, in one pass: no pause of the machine comes between.
        let (first, second) = join(lane.acquire(), lane.acquire()).await;
        assert_eq!(second.err(), Some(Failure::Busy), "the queue holds one");
        assert_eq!(first.err(), Some(Failure::Unavailable));
        assert!(ring.now() - start >= Duration::from_millis(50));
        assert!(lane.waiting.borrow().is_empty());
        // Dropped while it waits, by a request that is no more.
        assert!(lane.acquire().now_or_never().is_none());
        assert!(lane.waiting.borrow().is_empty());
    });
}

#[test]
fn a_place_that_was_granted_to_nobody_goes_back() {
    with_lane(1, |ring, lane| async move {
        let link = lane.links()[0].clone();
        let waiter = Rc::new(Waiter::default());
        let waiting = Waiting {
            lane: &lane,
            waiter: waiter.clone(),
        };
        link.enter(ring.now());
        waiter.left.set(true);
        waiter.link.replace(Some(link.clone()));
        drop(waiting);
        assert_eq!(link.in_flight(), 0);
    });
}

#[test]
fn a_reason_is_told_once_and_after_a_second_those_who_wait_are_refused() {
    with_lane(1, |ring, lane| async move {
        assert!(lane.link_down("refused"));
        assert!(!lane.link_down("refused"));
        assert!(lane.link_down("starting up"));
        assert!(!lane.link_down("refused"));
        assert_eq!(lane.down().as_deref(), Some("refused"));
        for number in 0..2 * TOLD_MAX {
            let news = lane.link_down(&format!("reason {number}"));
            assert_eq!(news, number + 2 < TOLD_MAX);
        }
        ring.sleep(limits::DOWN_PATIENCE).await;
        let refused = lane.acquire().now_or_never().expect("at once");
        assert_eq!(refused.err(), Some(Failure::Unavailable));
    });
}

#[test]
fn a_cause_is_the_same_in_other_words() {
    for full in [
        "sorry, too many clients already (53300)",
        "remaining connection slots are reserved for roles (with rights) (53300)",
    ] {
        assert_eq!(cause(full), "53300");
    }
    for whole in ["", "(", "refused (os error 111)", "x(53300)", "a (5330)"] {
        assert_eq!(cause(whole), whole);
    }
}
