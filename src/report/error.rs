//! Why there is no report.

use std::fmt;
use std::path::Path;

/// A file that can't be read, or is none of Pinion's dumps, or is damaged; with its place.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    pub(super) fn new(words: String) -> Error {
        Error(words)
    }

    /// Of a line of a file, from 1.
    pub(super) fn at(path: &Path, line: usize, words: &str) -> Error {
        Error(format!("{}:{line}: {words}", path.display()))
    }

    pub(super) fn read(path: &Path, reason: &std::io::Error) -> Error {
        Error(format!("can't read {}: {reason}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
