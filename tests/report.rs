//! `pinion report`: what it makes of dumps, by the real program. The dumps are written by the server's own
//! writer from histograms whose values are known.

mod support;

#[path = "report/browser.rs"]
mod browser;
#[path = "report/damaged.rs"]
mod damaged;
#[path = "report/dumps.rs"]
mod dumps;
#[path = "report/merged.rs"]
mod merged;
#[path = "report/printed.rs"]
mod printed;
#[path = "report/python.rs"]
mod python;
#[path = "report/readme.rs"]
mod readme;
#[path = "report/served.rs"]
mod served;
#[path = "report/targets.rs"]
mod targets;

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// What a run gave.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn report<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .arg("report")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("pinion");
    Run {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A report that has to succeed.
fn printed<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let run = report(arguments);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    run.out
}
