//! The demo's own directory: whose it is, what may be deleted in it, where its socket goes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::account::Account;
use super::error::Error;

/// Bytes of a socket's path: `sun_path` of unix(7) is 108 with its closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

const MARKER: &str = "pinion-demo";
const MARKER_TEXT: &str =
    "This directory belongs to pinion demo, which may delete what is in it.\n";

/// Makes or recognises the directory and locks it. Returns its path without symbolic links.
pub(super) fn claim(data_dir: &Path) -> Result<(PathBuf, File), Error> {
    // Another account has to come through where root starts the demo; what is inside is closed.
    let mode = if rustix::process::geteuid().is_root() {
        0o755
    } else {
        0o700
    };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(data_dir)
        .map_err(Error::file("create", data_dir))?;
    let data_dir = data_dir
        .canonicalize()
        .map_err(Error::file("find", data_dir))?;
    let marker = data_dir.join(MARKER);
    if !fs::symlink_metadata(&marker).is_ok_and(|found| found.is_file()) {
        let mut entries = fs::read_dir(&data_dir).map_err(Error::file("read", &data_dir))?;
        if entries.next().is_some() {
            return Err(Error::ForeignDirectory(data_dir));
        }
        fs::write(&marker, MARKER_TEXT).map_err(Error::file("create", &marker))?;
    }
    let path = data_dir.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::file("open", &path))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((data_dir, lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse(data_dir)),
        Err(reason) => Err(Error::file("lock", &path)(reason.into())),
    }
}

/// Deletes what a demo made in its directory, and nothing else that may lie there.
pub(super) fn wipe(data_dir: &Path) -> Result<(), Error> {
    for name in ["cluster", "cluster.new", "socket"] {
        let path = data_dir.join(name);
        fs::remove_dir_all(&path)
            .or_else(absent_is_fine)
            .map_err(Error::file("remove", &path))?;
    }
    Ok(())
}

/// Makes the socket's directory: inside the data directory, or where that is too deep for the
/// kernel's limit, or strange in its name, a short one beside the system's own sockets.
pub(super) fn make_socket_dir(data_dir: &Path, account: &Account) -> Result<PathBuf, Error> {
    let short = format!(
        "pinion-{:016x}",
        fnv1a(data_dir.as_os_str().as_encoded_bytes())
    );
    let runtime = if account.other {
        None
    } else {
        std::env::var_os("XDG_RUNTIME_DIR")
    };
    let mut places = vec![data_dir.join("socket")];
    places.extend(runtime.map(|runtime| Path::new(&runtime).join(&short)));
    places.extend(account.other.then(|| Path::new("/run").join(&short)));
    places.extend([
        std::env::temp_dir().join(&short),
        Path::new("/tmp").join(&short),
    ]);
    let mut faults = Vec::new();
    for place in places {
        if let Err(fault) = fits_a_socket(&place) {
            faults.push((place, fault));
            continue;
        }
        match make_private_dir(&place, account) {
            Ok(()) => return Ok(place),
            Err(error) => {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                faults.push((place, reason.unwrap_or_else(|| error.to_string())));
            }
        }
    }
    Err(Error::NoSocketDirectory(faults))
}

/// Makes a directory that only `account` (and root) may enter, or takes one that is just so.
pub(super) fn make_private_dir(path: &Path, account: &Account) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.own(path),
        Err(reason) if reason.kind() == io::ErrorKind::AlreadyExists => {
            // In a directory that everyone may write, someone else may have been first.
            let found = fs::symlink_metadata(path).map_err(Error::file("read", path))?;
            if found.is_dir() && found.uid() == account.uid && found.mode() & 0o077 == 0 {
                return Ok(());
            }
            Err(Error::file("use", path)(io::Error::other(
                "it exists, but is not a directory of mode 0700 of ours",
            )))
        }
        Err(reason) => Err(Error::file("create", path)(reason)),
    }
}

pub(super) fn absent_is_fine(reason: io::Error) -> io::Result<()> {
    if reason.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(reason)
    }
}

/// FNV-1a with 64 bits: a name for a text, the same in every version; not against forgery.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn fits_a_socket(directory: &Path) -> Result<(), String> {
    let bytes = directory.as_os_str().as_encoded_bytes();
    let path_bytes = bytes.len() + "/.s.PGSQL.5432".len();
    if path_bytes > SOCKET_PATH_BYTES_MAX {
        return Err(format!(
            "the socket's path would have {path_bytes} bytes, {SOCKET_PATH_BYTES_MAX} are allowed"
        ));
    }
    // unix_socket_directories is a list with separators and quotes of its own.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    if directory.is_absolute() && bytes.iter().all(plain) {
        Ok(())
    } else {
        Err(String::from(
            "its name has characters that the server's setting may misread",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_of_107_bytes_fits_and_one_of_108_does_not() {
        let directory =
            |path_bytes: usize| PathBuf::from(format!("/{}", "d".repeat(path_bytes - 15)));
        assert!(fits_a_socket(&directory(107)).is_ok());
        assert!(fits_a_socket(&directory(108)).is_err());
    }

    #[test]
    fn a_directory_that_the_setting_would_misread_is_passed_over() {
        for name in ["/a,b", "/a b", "/a\"b", "relative"] {
            assert!(fits_a_socket(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_hash_is_the_published_one() {
        // Test vectors of draft-eastlake-fnv §"FNV-1a".
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
