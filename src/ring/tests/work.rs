//! What a ring says of its own work.

use std::cell::RefCell;

use super::*;

/// Each round everything that `sockets` sockets have written is in their peers' sockets by the time that
/// is told for it, and no time is told before the writing.
fn handed_in_time(sockets: usize) {
    on_ring(&Options::default(), move |ring| async move {
        let told: Rc<RefCell<Vec<Instant>>> = Rc::default();
        ring.on_handed({
            let told = told.clone();
            move |at| told.borrow_mut().push(at)
        });
        let mut linked: Vec<_> = (0..sockets).map(|_| linked(&ring)).collect();
        for round in 0..50u8 {
            ring.sleep(Duration::from_millis(1)).await;
            told.borrow_mut().clear();
            let before = Instant::now();
            for (stream, _) in &linked {
                stream.write(|output| output.push(round));
            }
            let wait = told.clone();
            until(&ring, move || !wait.borrow().is_empty()).await;
            let first = told.borrow()[0];
            assert!(before <= first && first <= Instant::now());
            for (_, peer) in &mut linked {
                peer.set_nonblocking(true).unwrap();
                let mut byte = [0];
                assert_eq!(peer.read(&mut byte).unwrap(), 1);
                assert_eq!(byte[0], round);
            }
        }
    });
}

#[test]
fn what_was_written_is_with_the_kernel_when_it_is_told() {
    handed_in_time(1);
    handed_in_time(HANDED_FIRST - 1);
    handed_in_time(HANDED_FIRST);
    handed_in_time(64);
}

#[test]
fn bytes_and_passes_are_counted_and_waiting_is_no_work() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let (before, start) = (ring.work(), ring.now());
        peer.write_all(&noise(70_000, 1)).unwrap();
        while stream.unread() < 70_000 {
            fill(&stream, stream.unread()).await.unwrap();
        }
        stream.write(|output| output.extend_from_slice(&noise(30_000, 2)));
        drained(&stream).await.unwrap();
        ring.sleep(Duration::from_millis(50)).await;
        let (after, took) = (ring.work(), ring.now() - start);
        assert_eq!(after.bytes_received - before.bytes_received, 70_000);
        assert_eq!(after.bytes_sent - before.bytes_sent, 30_000);
        assert!(after.passes > before.passes);
        let waited = after.waited - before.waited;
        assert!(
            waited >= Duration::from_millis(30),
            "{waited:?} of {took:?}"
        );
        assert!(waited <= took);
    });
}

#[test]
fn bytes_have_the_time_at_which_they_came() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let pause = Duration::from_millis(30);
        peer.write_all(b"ab").unwrap();
        fill(&stream, 1).await.unwrap();
        let first = stream.received_first();
        ring.sleep(pause).await;
        peer.write_all(b"cd").unwrap();
        fill(&stream, 3).await.unwrap();
        assert_eq!(stream.received_first(), first, "the oldest byte counts");
        let last = stream.received_last();
        assert!(last - first >= pause);
        stream.consume(2);
        assert_eq!(stream.received_first(), last);
        stream.consume(2);
        ring.sleep(pause).await;
        peer.write_all(b"e").unwrap();
        fill(&stream, 0).await.unwrap();
        assert!(stream.received_first() - last >= pause);
    });
}
