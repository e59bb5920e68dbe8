//! What can go wrong around the demo's private Postgres: one variant per fault, each with its remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::installation::VERSION_MIN;

/// A fault of the demo's Postgres. `Display` is one readable message that names the remedy;
/// `source` holds the operating system's reason where there is one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No usable installation was found in any of the places, each given with what was wrong there.
    NoInstallation(Vec<(PathBuf, String)>),
    /// A file or directory could not be created, read, changed or removed.
    File {
        /// What was being done, as in "create".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The directory holds something that the demo did not put there.
    ForeignDirectory(PathBuf),
    /// Another running pinion uses the directory.
    InUse(PathBuf),
    /// Started by root, but there is no unprivileged account to run Postgres as.
    NoAccount,
    /// The cluster belongs to someone else, or to root, whom Postgres refuses to serve.
    ForeignCluster {
        /// The cluster's directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// The account that Postgres would run as can't enter a directory on the way to the cluster.
    Unreachable {
        /// The account's name.
        account: String,
        /// The first directory that is closed to it.
        path: PathBuf,
    },
    /// The cluster was made by another major version than the installation's.
    Version {
        /// The cluster's directory.
        path: PathBuf,
        /// Major version of the cluster, as its PG_VERSION says.
        cluster: String,
        /// Major version of the installation.
        installation: u32,
    },
    /// No directory for the socket is both short enough and ours to write.
    NoSocketDirectory(Vec<(PathBuf, String)>),
    /// A program of the installation could not be started.
    Spawn {
        /// The program.
        program: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A program of the installation failed; its last words follow.
    Program {
        /// The program.
        program: PathBuf,
        /// What it printed on stderr.
        output: String,
    },
    /// The server ended, or did not accept connections in time.
    NotReady {
        /// What happened.
        what: String,
        /// The server's log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A server did not end, not even by SIGKILL.
    NotStopped(i32),
    /// The database holds the shop of another version of the schema.
    SchemaChanged(PathBuf),
}

impl Error {
    /// For `map_err`: wraps what the operating system said about `path` while doing `action`.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File {
            action,
            path,
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoInstallation(places) => no_installation(f, places),
            Error::File { action, path, .. } => write!(f, "cannot {action} {}", path.display()),
            Error::ForeignDirectory(path) => write!(
                f,
                "{} holds files that are not of a pinion demo, so it is left alone: \
                 name an empty or a new directory by --data-dir",
                path.display()
            ),
            Error::InUse(path) => write!(
                f,
                "another pinion demo is running on {}: stop it, or name another directory by --data-dir",
                path.display()
            ),
            Error::NoAccount => write!(
                f,
                "Postgres does not run as root, and there is neither a user postgres nor a user nobody: \
                 create one, or start the demo as an ordinary user"
            ),
            Error::ForeignCluster { path, owner } => foreign_cluster(f, path, *owner),
            Error::Unreachable { account, path } => write!(
                f,
                "Postgres would run as the user {account}, who may not enter {}: \
                 name another directory by --data-dir, or start the demo as an ordinary user",
                path.display()
            ),
            Error::Version {
                path,
                cluster,
                installation,
            } => write!(
                f,
                "{} was made by Postgres {cluster}, but the server found is Postgres {installation}: \
                 name a Postgres {cluster} by --postgres BIN_DIR, or start over with --fresh",
                path.display()
            ),
            Error::NoSocketDirectory(places) => {
                write!(f, "no place for the socket of Postgres")?;
                list(f, places)
            }
            Error::Spawn { program, .. } => write!(f, "cannot run {}", program.display()),
            Error::Program { program, output } => {
                write!(f, "{} failed: {output}", program.display())
            }
            Error::NotReady { what, log, tail } => not_ready(f, what, log, tail),
            Error::NotStopped(pid) => {
                write!(f, "the Postgres server with process id {pid} does not stop")
            }
            Error::SchemaChanged(path) => write!(
                f,
                "{} holds the shop of another version of pinion: start over with --fresh",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. } | Error::Spawn { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn no_installation(f: &mut fmt::Formatter<'_>, places: &[(PathBuf, String)]) -> fmt::Result {
    write!(
        f,
        "no Postgres server of version {VERSION_MIN} or later found"
    )?;
    list(f, places)?;
    write!(
        f,
        "\ninstall one (Debian, Ubuntu: apt install postgresql; Fedora, RHEL: dnf install \
         postgresql-server; Alpine: apk add postgresql) or name its directory: --postgres BIN_DIR"
    )
}

fn foreign_cluster(f: &mut fmt::Formatter<'_>, path: &Path, owner: u32) -> fmt::Result {
    let path = path.display();
    if owner == 0 {
        return write!(
            f,
            "{path} belongs to root, but Postgres does not run as root: chown it"
        );
    }
    write!(
        f,
        "{path} belongs to the user with id {owner}: start the demo as that user or as root, \
         or name another directory by --data-dir"
    )
}

fn not_ready(f: &mut fmt::Formatter<'_>, what: &str, log: &Path, tail: &str) -> fmt::Result {
    write!(
        f,
        "Postgres did not start: {what}; its log is {}",
        log.display()
    )?;
    if tail.is_empty() {
        return Ok(());
    }
    write!(f, ", which ends:\n{tail}")
}

fn list(f: &mut fmt::Formatter<'_>, places: &[(PathBuf, String)]) -> fmt::Result {
    places
        .iter()
        .try_for_each(|(path, fault)| write!(f, "\n  {}: {fault}", path.display()))
}
