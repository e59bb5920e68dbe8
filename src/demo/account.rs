//! The account that the private Postgres runs as: Postgres refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;

/// An account of this machine, in whose name programs run and to whom files are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether it is another account than this process's own; only root can have such a one.
    pub(super) other: bool,
}

impl Account {
    /// The account for the cluster in `cluster`, which need not exist yet.
    ///
    /// Whoever isn't root runs Postgres as himself. Root takes the owner of an existing cluster,
    /// otherwise the user `postgres`, otherwise `nobody`.
    pub(super) fn choose(cluster: &Path) -> Result<Account, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let owner = std::fs::metadata(cluster)
            .ok()
            .map(|found| (found.uid(), found.gid()));
        if uid != 0 {
            let gid = rustix::process::getegid().as_raw();
            return match owner {
                Some((owner, _)) if owner != uid => Err(Error::ForeignCluster {
                    path: cluster.to_owned(),
                    owner,
                }),
                _ => Ok(Account {
                    name: uid.to_string(),
                    uid,
                    gid,
                    other: false,
                }),
            };
        }
        if let Some((uid, gid)) = owner {
            if uid == 0 {
                return Err(Error::ForeignCluster {
                    path: cluster.to_owned(),
                    owner: 0,
                });
            }
            return Ok(Account {
                name: format!("with id {uid}"),
                uid,
                gid,
                other: true,
            });
        }
        // Read from the file because the C library's look-up is not memory-safe to call; an account
        // that only a directory service knows is not found, which `nobody` makes up for.
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        find(&accounts, "postgres")
            .or_else(|| find(&accounts, "nobody"))
            .ok_or(Error::NoAccount)
    }

    /// Makes `command` run as this account.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.other {
            // The standard library also drops root's supplementary groups here.
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or directory to this account; never follows a link.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        if !self.other {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .map_err(Error::file("chown", path))
    }

    /// Fails when a directory on the way to `path` is closed to this account.
    ///
    /// Looks at the mode bits only: an access-control list that opens more is not seen.
    pub(super) fn reaches(&self, path: &Path) -> Result<(), Error> {
        if !self.other {
            return Ok(());
        }
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        let closed = ancestors.into_iter().find(|ancestor| {
            std::fs::metadata(ancestor).is_ok_and(|found| {
                let search = match (found.uid() == self.uid, found.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                found.mode() & search == 0
            })
        });
        match closed {
            None => Ok(()),
            Some(path) => Err(Error::Unreachable {
                account: self.name.clone(),
                path: PathBuf::from(path),
            }),
        }
    }
}

/// Finds a name in the text of a passwd(5) file; root under another name does not count.
fn find(accounts: &str, name: &str) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (uid != 0).then(|| Account {
            name: name.to_owned(),
            uid,
            gid,
            other: true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let accounts = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:\n\npostgres:x:101:104:a,b:/var:/bin/sh\n";
        let found = find(accounts, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert_eq!(find(accounts, "nobody"), None);
        assert_eq!(find(accounts, "root"), None);
        assert_eq!(find("postgres:x:many:104::/:", "postgres"), None);
    }

    #[test]
    fn a_closed_directory_is_named() {
        let dir = std::env::temp_dir().join(format!("pinion-closed-{}", std::process::id()));
        let inner = dir.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        let mode = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&dir, permissions).unwrap();
        };
        let stranger = Account {
            name: String::from("stranger"),
            uid: 54321,
            gid: 54321,
            other: true,
        };
        mode(0o700);
        let closed = stranger.reaches(&inner);
        mode(0o711);
        let open = stranger.reaches(&inner);
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(matches!(closed, Err(Error::Unreachable { path, .. }) if path == dir));
        assert!(open.is_ok());
    }
}
