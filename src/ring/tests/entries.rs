//! How often the kernel is entered, and who waits for it.

use super::*;

/// Round trips of one test.
const ROUNDS: u32 = 200;

/// Sends small answers to one peer, one at a time, and gives the passes that took beyond those of
/// an idle core.
fn passes_of_round_trips(bytes: usize) -> u64 {
    on_ring(&Options::default(), move |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let asked = thread::spawn(move || {
            let mut answer = vec![0; bytes];
            for _ in 0..ROUNDS {
                peer.write_all(b"?").unwrap();
                peer.read_exact(&mut answer).unwrap();
            }
        });
        let before = ring.heartbeat.load(Ordering::Relaxed);
        let start = Instant::now();
        while fill(&stream, 0).await.unwrap() {
            stream.consume(stream.unread());
            stream.write(|output| output.resize(bytes, b'!'));
        }
        asked.join().unwrap();
        let idle = start.elapsed().as_millis() as u64 / BLOCK_MAX.as_millis() as u64;
        (ring.heartbeat.load(Ordering::Relaxed) - before).saturating_sub(idle)
    })
}

/// A send that fits completes while it is submitted; that completion alone must not bring the core
/// back, as it is entered again for nothing then.
#[test]
fn a_round_trip_is_one_pass() {
    let passes = passes_of_round_trips(100);
    assert!(
        passes < u64::from(ROUNDS) * 3 / 2,
        "{passes} passes for {ROUNDS} round trips"
    );
}

/// Whoever waits for the output to go out is told at once.
#[test]
fn a_writer_does_not_wait_for_the_next_request() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, _peer) = linked(&ring);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            stream.write(|output| output.push(b'!'));
            drained(&stream).await.unwrap();
        }
        // Blocking for any of them would have taken 10 ms each.
        assert!(start.elapsed() < BLOCK_MAX * ROUNDS / 2);
    });
}

/// A peer that does not read makes a try fail; what did not fit goes out once it reads, and from
/// then on its sends wait for room in the kernel.
#[test]
fn a_try_that_finds_no_room_is_not_lost() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let (piece, mut written) = (noise(8 * 1024, 5), 0);
        while !stream.socket().crowded.get() {
            stream.write(|output| output.extend_from_slice(&piece));
            written += 1;
            ring.sleep(Duration::from_millis(1)).await;
        }
        let reader = thread::spawn(move || {
            let mut got = vec![0; piece.len()];
            for _ in 0..written {
                peer.read_exact(&mut got).unwrap();
                assert!(got == piece, "the bytes differ");
            }
        });
        drained(&stream).await.unwrap();
        reader.join().unwrap();
    });
}
