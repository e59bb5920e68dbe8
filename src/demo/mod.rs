//! The demo: the shop API over a private Postgres, so that a newcomer needs no database.
//!
//! The shop is one routes file and one SQL file, both embedded in the binary and both written to be
//! read: they are the example of the format. [`postgres`] runs the server that holds the data.

use std::path::PathBuf;

pub mod postgres;
pub mod tokens;

mod account;
mod directory;
mod error;
mod installation;
mod process;

/// The shop's API, in the format of a routes file (`pinion demo --print-routes`).
pub const ROUTES: &str = include_str!("shop.toml");

/// The shop's schema and data, as a script for psql (`pinion demo --print-schema`).
pub const SCHEMA: &str = include_str!("shop.sql");

/// Where the demo keeps its cluster unless `--data-dir` says otherwise.
///
/// `/var/lib/pinion/demo` for root; for everyone else `$XDG_DATA_HOME/pinion/demo`, which is
/// `~/.local/share/pinion/demo` where XDG_DATA_HOME is unset, empty or relative (XDG Base Directory
/// Specification). `None` when neither variable is set: the user has to name a directory.
pub fn default_data_dir(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/pinion/demo"));
    }
    let absolute = |name: &str| {
        environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data_home =
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data_home.join("pinion/demo"))
}
