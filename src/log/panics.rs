//! Panics as the log is told of them. What the standard library does instead, to write where it happens,
//! would make a core wait for whoever reads stderr.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::flush;

/// Panics of one thread that have lines of their own in a second: a request that panics can be sent again
/// and again.
const PER_SECOND: u32 = 3;

thread_local! {
    static BUDGET: Budget = const { Budget::new(PER_SECOND, Duration::from_secs(1)) };
    /// The last one had a line.
    static TOLD: Cell<bool> = const { Cell::new(true) };
}

/// Whether this thread's last panic had a line, so that more may be said of it.
pub(crate) fn are_told() -> bool {
    TOLD.get()
}

/// From now on panics are logged.
pub(super) fn report() {
    panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let words = words(panic.payload());
    // The thread's own state may be gone already.
    let admitted = BUDGET.try_with(|budget| {
        let admitted = budget.admits(Instant::now());
        admitted.then(|| budget.take_folded())
    });
    let admitted = admitted.unwrap_or(Some(0));
    let _ = TOLD.try_with(|told| told.set(admitted.is_some()));
    if let Some(untold) = admitted {
        let place = panic.location().map(tracing::field::display);
        let thread = thread::current();
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        tracing::error!(
            place,
            thread = thread.name(),
            untold = (untold > 0).then_some(untold),
            backtrace = trace,
            "panicked: {words}"
        );
    }
    if is_last(words) {
        flush();
    }
}

fn words(payload: &dyn Any) -> &str {
    match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(words), _) => words,
        (None, Some(words)) => words,
        (None, None) => "",
    }
}

/// Whether the process is aborted afterwards. The library says so by its words alone: `panic in a destructor
/// during cleanup`, `panic in a function that cannot unwind`.
fn is_last(words: &str) -> bool {
    words.starts_with("panic in a ")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::super::start;
    use super::*;
    use crate::cli::LogFormat;

    /// A process has one hook, and one end: these tests are processes of their own.
    const CHILD: &str = "PINION_TEST_CHILD";

    fn child(test: &str) -> Option<Output> {
        if std::env::var_os(CHILD).is_some() {
            start("info", LogFormat::Text).unwrap();
            return None;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            &format!("log::panics::tests::{test}"),
            "--exact",
            "--nocapture",
        ]);
        command.env(CHILD, "1").env_remove("JOURNAL_STREAM");
        command.env("RUST_BACKTRACE", "0");
        Some(command.output().unwrap())
    }

    #[test]
    fn the_last_words_before_an_abort_are_written() {
        struct Falls;
        impl Drop for Falls {
            fn drop(&mut self) {
                panic!("while it falls");
            }
        }
        let Some(output) = child("the_last_words_before_an_abort_are_written") else {
            let _falls = Falls;
            panic!("pushed\nERROR over");
        };
        assert_eq!(output.status.code(), None, "a signal");
        let err = String::from_utf8(output.stderr).unwrap();
        let told: Vec<&str> = err.lines().filter(|line| line.contains("ERROR")).collect();
        let [pushed, _, falls, last] = told[..] else {
            panic!("{err}");
        };
        assert!(pushed.ends_with("ERROR panicked: pushed"), "{err}");
        // The second line of the first.
        assert!(
            err.contains("\n    ERROR over place=src/log/panics.rs:"),
            "{err}"
        );
        assert!(falls.contains("panicked: while it falls place="), "{err}");
        assert!(
            last.contains("panicked: panic in a destructor during cleanup"),
            "{err}"
        );
    }

    #[test]
    fn panics_that_repeat_are_counted() {
        let Some(output) = child("panics_that_repeat_are_counted") else {
            for pause in [0, 1100] {
                std::thread::sleep(Duration::from_millis(pause));
                for _ in 0..10 {
                    std::panic::catch_unwind(|| panic!("again")).unwrap_err();
                }
                assert!(!super::are_told());
            }
            return super::flush();
        };
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        let told: Vec<&str> = err.lines().filter(|line| line.contains("again")).collect();
        let counts = told.iter().map(|line| line.ends_with(" untold=7"));
        let expected = [false, false, false, true, false, false];
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{err}");
    }
}
