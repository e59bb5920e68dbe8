//! From what the command line names to the logs themselves.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::limits;

/// The logs among what was named: files, and in directories whatever ends with `.hlog`, however deep
/// (a directory for each host, say). What begins with a dot is left out, as drafts of dumps do. None comes
/// twice, whatever ways lead to it.
pub(super) fn find(named: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Found::default();
    for path in named {
        let known = fs::metadata(path).map_err(|error| Error::read(path, &error))?;
        let before = found.seen.len();
        if known.is_dir() {
            found.walk(path, 0)?;
            if found.seen.len() == before && !found.has_met_again {
                let path = path.display();
                return Err(Error::new(format!("{path}: no .hlog file is in it")));
            }
        } else if known.is_file() {
            found.add(path, &known)?;
        } else {
            let path = path.display();
            return Err(Error::new(format!(
                "{path}: neither a file nor a directory"
            )));
        }
    }
    Ok(found.paths)
}

#[derive(Default)]
struct Found {
    paths: Vec<PathBuf>,
    /// Device and inode of each.
    seen: HashSet<(u64, u64)>,
    /// A file was left out as it was there already.
    has_met_again: bool,
}

impl Found {
    fn add(&mut self, path: &Path, known: &fs::Metadata) -> Result<(), Error> {
        if !self.seen.insert((known.dev(), known.ino())) {
            self.has_met_again = true;
            return Ok(());
        }
        if self.paths.len() == limits::REPORT_FILES_MAX {
            let most = limits::REPORT_FILES_MAX;
            return Err(Error::new(format!("these are more than {most} logs")));
        }
        self.paths.push(path.to_owned());
        Ok(())
    }

    fn walk(&mut self, directory: &Path, depth: usize) -> Result<(), Error> {
        let entries = fs::read_dir(directory).map_err(|error| Error::read(directory, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Error::read(directory, &error))?;
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            if kind.is_dir() && depth < limits::REPORT_DEPTH_MAX {
                match self.walk(&path, depth + 1) {
                    // An old dump, removed meanwhile.
                    Err(_) if !path.exists() => {}
                    outcome => outcome?,
                }
            } else if kind.is_file() && name.ends_with(".hlog") {
                match entry.metadata() {
                    Ok(known) => self.add(&path, &known)?,
                    Err(_) if !path.exists() => {}
                    Err(error) => return Err(Error::read(&path, &error)),
                }
            }
        }
        Ok(())
    }
}
