//! Batches that fail, take too long, or find no room.

use crate::gated::{Gated, batches};

#[test]
fn a_batch_past_its_time_is_told_so_and_the_next_one_is_fine() {
    let flags = ["--acquire-timeout", "20s"];
    let settings = "batch = true\ntimeout = \"300ms\"";
    let mut gated = Gated::start("late", 21, "", settings, &flags);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = gated.ask(&[2, 3, 3]);
    first.all_are(504);
    others.all_are(504);
    // Nobody was run again, neither alone nor together.
    gated.wait_for(0);
    gated.open();
    gated.is_well();
    assert_eq!(gated.calls(), 1);
    assert_eq!(batches(&mut gated.server, "late"), (3, 5, 3));
}

#[test]
fn what_finds_no_room_to_wait_is_refused_at_once() {
    let lanes = "[lane.short]\nqueue = 2\n";
    let settings = "lane = \"short\"\nbatch = { max = 4 }";
    let flags = ["--statement-timeout", "20s", "--acquire-timeout", "20s"];
    let mut gated = Gated::start("room", 22, lanes, settings, &flags);
    let mut asked = vec![gated.ask(&[1])];
    gated.wait_for(1);
    asked.push(gated.ask(&[2, 3, 4, 5]));
    // One connection: the full batch is behind the first.
    gated.settle();
    // A batch's worth and the queue's.
    asked.push(gated.ask(&[6, 7, 8, 9, 10, 11]));
    gated.settle();
    let refused = gated.ask(&[12]).all_are(503);
    assert_eq!(refused[0].field("retry-after"), Some("1"));
    assert!(refused[0].text().contains("Too many requests"));
    gated.open();
    for asked in asked {
        asked.all_are(200);
    }
    gated.is_well();
}
