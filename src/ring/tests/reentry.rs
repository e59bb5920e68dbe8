//! What the rest of the crate may do to a stream at awkward moments: safe code can make a task panic,
//! and never more than that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Wake, Waker};

use super::*;

/// Whether `work` panics.
fn panics<T>(work: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// Writing while one looks at the input is fine. Consuming what one looks at, or writing while one
/// writes, is a panic of the task, and the stream goes on.
#[test]
fn a_stream_is_used_from_inside_its_own_closures() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        peer.write_all(b"question").unwrap();
        assert!(fill(&stream, 7).await.unwrap());
        stream.with_input(|input| stream.write(|output| output.extend_from_slice(input)));
        assert!(panics(|| stream.with_input(|_| stream.consume(1))));
        assert!(panics(|| stream.consume(9)), "more than there is");
        assert!(panics(|| stream.write(|_| stream.write(|_| ()))));
        assert!(panics(|| stream.write(|_| stream.unsent())));
        stream.with_input(|input| assert_eq!(input, b"question"));
        stream.consume(8);
        drained(&stream).await.unwrap();
        let mut got = [0; 8];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"question");
    });
}

/// A stream that nobody drops keeps its socket, and the end of the core closes it.
#[test]
fn a_forgotten_stream_is_closed_with_its_core() {
    let mut peer = on_ring(&Options::default(), |ring| async move {
        let (stream, peer) = linked(&ring);
        stream.write(|output| output.resize(64 << 20, 1)); // in flight for as long as nobody reads
        ring.sleep(Duration::from_millis(5)).await;
        std::mem::forget(stream);
        peer
    });
    peer.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    while peer.read(&mut [0; 1 << 16]).unwrap() > 0 {}
}

/// A stream that outlives its core lends no descriptor: the number may be somebody else's by then.
#[test]
fn a_stream_that_outlives_its_core_lends_no_descriptor() {
    let (stream, _peer) = on_ring(&Options::default(), |ring| async move { linked(&ring) });
    assert!(panics(|| std::os::fd::AsFd::as_fd(&stream)));
    assert!(panics(|| stream.shutdown_write()));
    stream.write(|output| output.push(1));
    drop(stream);
}

/// A waker that does at once what a task would do later.
struct Meddler(Box<dyn Fn() + Send + Sync>);

impl Wake for Meddler {
    fn wake(self: Arc<Meddler>) {
        (self.0)();
    }
}

thread_local! {
    static STREAM: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

/// A waker that runs code uses, and drops, the very stream that wakes it.
#[test]
fn a_waker_that_runs_code_finds_a_whole_stream() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        STREAM.set(Some(stream));
        for drops in [false, true] {
            let meddler = Meddler(Box::new(move || {
                let stream = STREAM.take().unwrap();
                stream.with_input(|input| stream.write(|output| output.extend_from_slice(input)));
                stream.consume(stream.unread());
                STREAM.set((!drops).then_some(stream));
            }));
            let waker = Waker::from(Arc::new(meddler));
            let waits = STREAM.with_borrow(|stream| {
                let stream = stream.as_ref().unwrap();
                stream.poll_fill(&mut Context::from_waker(&waker), 0)
            });
            assert!(waits.is_pending());
            peer.write_all(b"x").unwrap();
            ring.sleep(Duration::from_millis(20)).await;
        }
        until(&ring, || ring.held() == 0).await;
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"x", "what was written before the drop is lost");
    });
}

/// A waker that sleeps again, and one that drops another sleeper, while the sleepers are woken.
#[test]
fn a_sleeper_that_is_woken_changes_the_sleepers() {
    thread_local! {
        static SLEEPS: RefCell<Vec<Sleep>> = const { RefCell::new(Vec::new()) };
    }
    on_ring(&Options::default(), |ring| async move {
        let meddler = Meddler(Box::new(|| SLEEPS.with_borrow_mut(Vec::clear)));
        let waker = Waker::from(Arc::new(meddler));
        for ms in [5, 5, 50] {
            let mut sleep = ring.sleep(Duration::from_millis(ms));
            let mut context = Context::from_waker(&waker);
            assert!(
                std::pin::Pin::new(&mut sleep)
                    .poll(&mut context)
                    .is_pending()
            );
            SLEEPS.with_borrow_mut(|sleeps| sleeps.push(sleep));
        }
        until(&ring, || SLEEPS.with_borrow(Vec::is_empty)).await;
    });
}
