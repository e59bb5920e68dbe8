//! The directory of the dumps: how one comes to be there, and which are taken away.
//!
//! Nothing is removed but directories that are named and filled as dumps are: one with a note in it is
//! somebody's. No symbolic link is followed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, Settings};

/// Before the name that a dump will have.
const DRAFT: &str = ".tmp-";

/// How a name tells the time, which is UTC.
const TIME: &str = "%Y%m%dT%H%M%S%.3fZ";

/// Dumps of one process in the same millisecond; more is a fault.
const SAME_TIME_MAX: u32 = 100;

/// A dump that is being written. Unless it is finished it is removed.
pub(super) struct Draft<'a> {
    directory: &'a Path,
    name: String,
    /// Locked for as long as somebody writes: what is not locked was left behind by a process that ended.
    handle: File,
    files: Vec<(PathBuf, File)>,
    is_finished: bool,
}

impl Draft<'_> {
    /// One of this time, or of the first millisecond after it that has none.
    pub(super) fn begin(directory: &Path, time: SystemTime) -> Result<Draft<'_>, Error> {
        let mut last = None;
        for later in 0..SAME_TIME_MAX {
            let time = time + Duration::from_millis(later.into());
            let name = dump_name(time, std::process::id());
            let draft = directory.join(format!("{DRAFT}{name}"));
            if fs::symlink_metadata(directory.join(&name)).is_ok() {
                continue;
            }
            match fs::create_dir(&draft) {
                Ok(()) => {
                    let lock = open_directory(&draft).and_then(|handle| {
                        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                            Err(Errno::WOULDBLOCK) => Err(Errno::WOULDBLOCK.into()),
                            // NFS has no locks on directories: what is left behind there stays.
                            Ok(()) | Err(_) => Ok(handle),
                        }
                    });
                    let handle = lock.map_err(Error::of("lock", &draft))?;
                    return Ok(Draft {
                        directory,
                        name,
                        handle,
                        files: Vec::new(),
                        is_finished: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
                Err(error) => return Err(Error::of("write to", directory)(error)),
            }
        }
        let error = last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into());
        Err(Error::of("write to", directory)(error))
    }

    /// Writes one of its files.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path().join(name);
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = made.and_then(|mut file| file.write_all(bytes).map(|()| file));
        let file = written.map_err(Error::of("write", &path))?;
        self.files.push((path, file));
        Ok(())
    }

    /// Has all of it on the disk and gives it its name.
    pub(super) fn finish(mut self) -> Result<PathBuf, Error> {
        // All are written by now, so the file system may bring them to the disk together.
        for (path, file) in &self.files {
            file.sync_all().map_err(Error::of("write", path))?;
        }
        let path = self.directory.join(&self.name);
        let handle = &self.handle;
        handle.sync_all().map_err(Error::of("write", &path))?;
        fs::rename(self.path(), &path).map_err(Error::of("write", &path))?;
        self.is_finished = true;
        // It is there, and all that can be lost is its name: no reason to write it once more.
        let _ = open_directory(self.directory).and_then(|parent| parent.sync_all());
        Ok(path)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(format!("{DRAFT}{}", self.name))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            remove(&self.path());
        }
    }
}

/// Removes dumps that are too many or too old, and drafts of processes that have ended. What can't be removed
/// stays, and is tried again the next time.
pub(super) fn tidy(settings: &Settings, now: SystemTime) {
    let Ok(entries) = fs::read_dir(&settings.directory) else {
        return;
    };
    let mut dumps = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        if let Some(draft) = name.strip_prefix(DRAFT) {
            if is_dump_name(draft) {
                remove_abandoned(&entry.path());
            }
        } else if let Some((time, _)) = parse_name(name) {
            dumps.push((time, entry.path()));
        }
    }
    dumps.sort_unstable();
    let oldest = now.checked_sub(settings.age_max);
    let oldest = oldest.filter(|_| !settings.age_max.is_zero());
    let surplus = dumps.len().saturating_sub(settings.keep);
    for (index, (time, path)) in dumps.iter().enumerate() {
        let is_old = oldest.is_some_and(|oldest| *time < oldest);
        if index < surplus || is_old {
            discard(settings, path);
        }
    }
}

/// Whether a directory of this name is a dump.
pub fn is_dump_name(name: &str) -> bool {
    parse_name(name).is_some()
}

/// `20261122T091500.123Z-4711`.
fn dump_name(time: SystemTime, process: u32) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{}-{process}", time.strftime(TIME))
}

/// The time and the process of a dump's name; `None` for any other name.
fn parse_name(name: &str) -> Option<(SystemTime, u32)> {
    let (time, process) = name.split_once('-')?;
    let time = DateTime::strptime(TIME, time).ok()?;
    let time = TimeZone::UTC.to_zoned(time).ok()?;
    let time = SystemTime::from(time.timestamp());
    let process = process.parse().ok()?;
    // Numbers may be written in other ways than ours.
    (dump_name(time, process) == name).then_some((time, process))
}

/// Takes a dump away: under a draft's name first, so that nobody sees half of one.
fn discard(settings: &Settings, path: &Path) {
    if !holds_only_ours(path) {
        return;
    }
    if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        let draft = settings.directory.join(format!("{DRAFT}{name}"));
        if fs::rename(path, &draft).is_ok() {
            remove(&draft);
        }
    }
}

fn remove_abandoned(draft: &Path) {
    let lock = open_directory(draft).and_then(|handle| {
        flock(&handle, FlockOperation::NonBlockingLockExclusive)?;
        Ok(handle)
    });
    if lock.is_ok() {
        remove(draft);
    }
}

/// Removes the files of a dump and then the directory, which is kept for anything else in it.
fn remove(path: &Path) {
    if holds_only_ours(path) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        let _ = fs::remove_dir(path);
    }
}

fn holds_only_ours(path: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(path) else {
        return false;
    };
    entries.all(|entry| {
        entry.is_ok_and(|entry| {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            is_file && entry.file_name().to_str().is_some_and(is_file_name)
        })
    })
}

/// `core0.hlog`, `NAME.hgrm`.
fn is_file_name(name: &str) -> bool {
    let core = name
        .strip_prefix("core")
        .and_then(|rest| rest.strip_suffix(".hlog"));
    let is_log = core.is_some_and(|core| core.parse::<usize>().is_ok());
    is_log || name.ends_with(".hgrm")
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}
