//! What blocks (the system's resolver) runs on a thread of its own, never on a core.

use std::io;
use std::rc::Rc;
use std::sync::mpsc;

use super::{Event, EventWaker, Ring};

/// Runs `work` on a thread of its own and waits for its outcome. For rare things only.
pub async fn blocking<T: Send + 'static>(
    ring: &Rc<Ring>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let waker = EventWaker::new()?;
    let event = Event::listen(ring, &waker);
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("blocking".to_owned())
        .spawn(move || {
            // Wakes whether `work` returns or panics, and last: locals are dropped in reverse.
            let _wakes = WakesAtTheEnd(waker);
            let sender = sender;
            // Fails only when nobody waits any more.
            let _ = sender.send(work());
        })?;
    event.woken().await;
    receiver
        .try_recv()
        .map_err(|_| io::Error::other("the thread ended without an outcome"))
}

struct WakesAtTheEnd(EventWaker);

impl Drop for WakesAtTheEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}
