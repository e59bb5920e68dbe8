//! From any thread to one that waits: a channel whose senders hold no lock while they wake the receiver.
//!
//! Those of std's do, and of most others: a core that is stopped or starved just then, on its way back from the
//! kernel, keeps the receiver and all other senders with it. Here the queue is std's, which has no lock as long
//! as nobody waits in it; the receiver waits beside it, parked (`std::thread::park`).

use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::{self, RecvTimeoutError, SendError, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The end of which there may be many.
#[derive(Debug)]
pub struct Sender<T> {
    // Dropped in this order: the receiver is woken when the last queue has gone.
    queue: mpsc::Sender<T>,
    receiver: Waiting,
}

/// The other one. It is the first thread's that waits with it.
pub struct Receiver<T> {
    queue: mpsc::Receiver<T>,
    receiver: Arc<OnceLock<Thread>>,
}

/// Who waits, once somebody does.
#[derive(Clone, Debug)]
struct Waiting(Arc<OnceLock<Thread>>);

/// A channel without a bound: what is sent has one of its own.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, queue) = mpsc::channel();
    let receiver = Arc::<OnceLock<Thread>>::default();
    let sender = Sender {
        queue: sender,
        receiver: Waiting(receiver.clone()),
    };
    (sender, Receiver { queue, receiver })
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender {
            queue: self.queue.clone(),
            receiver: self.receiver.clone(),
        }
    }
}

impl<T> Sender<T> {
    /// Never waits. Gives back what nobody will receive any more.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.queue.send(item)?;
        self.receiver.wake();
        Ok(())
    }
}

impl Waiting {
    fn wake(&self) {
        // Either this sees who waits, or that one sees what was sent before it parks.
        fence(Ordering::SeqCst);
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.wake();
    }
}

impl<T> Receiver<T> {
    /// What was sent first, if anything is there.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.queue.try_recv()
    }

    /// The same, waiting for it. Fails when nothing can come any more.
    pub fn recv(&self) -> Result<T, RecvTimeoutError> {
        self.recv_timeout(Duration::MAX)
    }

    /// The same, for so long.
    pub fn recv_timeout(&self, patience: Duration) -> Result<T, RecvTimeoutError> {
        let end = Instant::now().checked_add(patience);
        let own = self.receiver.get_or_init(thread::current);
        debug_assert_eq!(own.id(), thread::current().id());
        fence(Ordering::SeqCst);
        loop {
            match self.queue.try_recv() {
                Ok(item) => return Ok(item),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let Some(end) = end else {
                thread::park();
                continue;
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvTimeoutError::Timeout);
            }
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn all_that_is_sent_comes_once_and_in_each_sender_s_order() {
        const EACH: usize = 50_000;
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            for from in 0..4 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        sender.send((from, number)).expect("it is received");
                        if number % 100 == 0 {
                            thread::yield_now(); // so that it has to wait now and then
                        }
                    }
                });
            }
            drop(sender);
            let mut next = [0; 4];
            while let Ok((from, number)) = receiver.recv() {
                assert_eq!(number, next[from]);
                next[from] += 1;
            }
            assert_eq!(next, [EACH; 4]);
        });
    }

    #[test]
    fn one_that_waits_is_woken_each_time() {
        let ((ask, asked), (answer, answered)) = (channel(), channel());
        let echo = thread::spawn(move || {
            while let Ok(number) = asked.recv_timeout(PATIENCE) {
                answer.send(number).expect("it is received");
            }
        });
        for number in 0..20_000 {
            ask.send(number).expect("it is received");
            assert_eq!(answered.recv_timeout(PATIENCE), Ok(number));
        }
        drop(ask);
        echo.join().expect("its end");
        assert_eq!(answered.recv(), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn what_is_not_there_is_waited_for_as_long_as_said() {
        let (sender, receiver) = channel::<()>();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let short = Duration::from_millis(20);
        let start = Instant::now();
        assert_eq!(receiver.recv_timeout(short), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= short);
        sender.send(()).expect("it is received");
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(()));
        drop(receiver);
        assert_eq!(sender.send(()), Err(SendError(())));
    }
}
