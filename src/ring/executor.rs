//! The executor under the ring: glommio pins the thread and runs tasks and wakers, nothing else.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::{Options, Ring};

/// glommio's own rings carry no I/O of ours: the smallest that it takes.
const RING_DEPTH: usize = 128;

/// Memory that glommio registers for its own file I/O, which is not used.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// glommio preempts tasks and looks at its own rings this often. An executor that is preempted
/// before it runs a task can park although tasks are runnable, so: practically never.
const PREEMPT_INTERVAL: Duration = Duration::from_secs(3600);

/// Runs `main` on the calling thread, pinned to `cpu` if one is given, with a ring that is driven
/// until `main` is done. An error is one of the executor or of the ring itself.
pub fn run<T, F>(
    cpu: Option<usize>,
    options: &Options,
    main: impl FnOnce(Rc<Ring>) -> F,
) -> io::Result<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .ring_depth(RING_DEPTH)
        .io_memory(IO_MEMORY_BYTES)
        .preempt_timer(PREEMPT_INTERVAL)
        .record_io_latencies(false)
        .make()
        .map_err(|error| io::Error::other(error.to_string()))?;
    executor.run(async {
        let ring = Ring::new(options)?;
        let outcome: Rc<std::cell::Cell<Option<T>>> = Rc::default();
        let finished = Rc::new(std::cell::Cell::new(false));
        let main = main(ring.clone());
        ring.spawn({
            let (outcome, finished) = (outcome.clone(), finished.clone());
            async move {
                outcome.set(Some(main.await));
                finished.set(true);
            }
        });
        ring.drive(|| finished.get()).await?;
        Ok(outcome.take().expect("finished is set after the outcome"))
    })
}
