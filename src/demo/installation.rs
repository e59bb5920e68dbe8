//! Finding the programs of a Postgres server on this machine.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;

/// The oldest major version that the demo runs on.
pub const VERSION_MIN: u32 = 14;

/// The programs of one Postgres server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The directory that holds `postgres` and `initdb`; absolute, without symbolic links.
    pub bin_dir: PathBuf,
    /// The client: the one beside the server, or the first of PATH where a server comes without one.
    pub psql: PathBuf,
    /// Major and minor version, as in (18, 4); the minor version of a beta is 0.
    pub version: (u32, u32),
}

impl Installation {
    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Finds a Postgres server of version 14 or later.
///
/// `flag` names its directory; nothing else is looked at then. Otherwise the newest of what PATH and
/// the usual directories of the distributions hold; of equals the first, PATH before the others.
/// The error lists every place with what was wrong there.
pub fn find_binaries(flag: Option<&Path>) -> Result<Installation, Error> {
    let path = std::env::var_os("PATH");
    let path = directories(path.as_deref());
    match flag {
        Some(bin_dir) => find_in(&[bin_dir.to_owned()], &path),
        None => find_in(&usual_places(&path), &path),
    }
}

fn find_in(places: &[PathBuf], path: &[PathBuf]) -> Result<Installation, Error> {
    let mut faults = Vec::new();
    let mut newest: Option<Installation> = None;
    let mut seen = HashSet::new();
    for place in places {
        // The server's own directory is where its other programs are: /usr/bin/psql is often a
        // wrapper that chooses a version by itself, and PATH often holds only links.
        let bin_dir = match place.join("postgres").canonicalize() {
            Ok(server) => server.parent().unwrap_or(place).to_owned(),
            Err(_) => {
                faults.push((place.clone(), String::from("no program postgres")));
                continue;
            }
        };
        if !seen.insert(bin_dir.clone()) {
            continue;
        }
        match inspect(bin_dir, path) {
            Ok(found)
                if newest
                    .as_ref()
                    .is_none_or(|newest| newest.version < found.version) =>
            {
                newest = Some(found);
            }
            Ok(_) => {}
            Err(fault) => faults.push((place.clone(), fault)),
        }
    }
    newest.ok_or(Error::NoInstallation(faults))
}

/// Where the packages of the distributions put a server: Debian's and the Postgres project's own
/// for each major version, then the default prefix of a build from source.
fn usual_places(path: &[PathBuf]) -> Vec<PathBuf> {
    let mut places = path.to_vec();
    places.extend(versioned("/usr/lib/postgresql", "", "bin"));
    places.extend(versioned("/usr", "pgsql-", "bin"));
    places.push(PathBuf::from("/usr/local/pgsql/bin"));
    places
}

/// The directories of PATH, without those that mean another place tomorrow.
fn directories(path: Option<&OsStr>) -> Vec<PathBuf> {
    let split = path.map(std::env::split_paths);
    split
        .into_iter()
        .flatten()
        .filter(|directory| directory.is_absolute())
        .collect()
}

/// The directories `parent/prefix*/leaf`, or that pattern itself when there is none, so that the
/// error can say where it looked.
fn versioned(parent: &str, prefix: &str, leaf: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
        })
        .map(|entry| entry.path().join(leaf))
        .collect();
    if places.is_empty() {
        places.push(Path::new(parent).join(format!("{prefix}*")).join(leaf));
    }
    places.sort();
    places
}

/// The installation in `bin_dir`, or what is wrong with it.
fn inspect(bin_dir: PathBuf, path: &[PathBuf]) -> Result<Installation, String> {
    if !bin_dir.join("initdb").is_file() {
        return Err(String::from("no program initdb beside postgres"));
    }
    // Some packages of a server have no client. For one script another version's does as well.
    let mut clients = std::iter::once(&bin_dir)
        .chain(path)
        .map(|place| place.join("psql"));
    let psql = clients.find(|client| client.is_file());
    let psql = psql.ok_or("no program psql beside postgres, and none in PATH")?;
    let output = Command::new(bin_dir.join("postgres"))
        .arg("--version")
        .output()
        .map_err(|reason| format!("postgres --version does not run: {reason}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = parse_version(&said).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!(
            "postgres --version does not tell its version: {}{}",
            said.trim(),
            complaint.trim()
        )
    })?;
    if version.0 < VERSION_MIN {
        return Err(format!("Postgres {} is too old", version.0));
    }
    Ok(Installation {
        bin_dir,
        psql,
        version,
    })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`, and `18beta1` and `19devel` as minor version 0.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let (_, version) = said.split_once("(PostgreSQL)")?;
    let version = version.trim_start();
    let major_len = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    let (major, rest) = version.split_at(major_len);
    let minor = rest.strip_prefix('.').unwrap_or_default();
    let minor_len = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    Some((major.parse().ok()?, minor[..minor_len].parse().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with programs that claim to be of the given version.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, version: &str) -> Fake {
            let dir =
                std::env::temp_dir().join(format!("pinion-fake-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            for program in ["postgres", "initdb", "psql"] {
                let path = dir.join(program);
                // By another process: a script that this one had open for writing could not run ("text
                // file busy") as long as a child that another test forked meanwhile holds it open too.
                let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n");
                let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
                let written = Command::new("/bin/sh")
                    .arg("-c")
                    .arg(write)
                    .arg(&path)
                    .arg(script)
                    .status();
                assert!(written.unwrap().success());
            }
            Fake(dir.canonicalize().unwrap())
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn versions_are_read_in_every_form() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some((15, 18))
        );
        assert_eq!(parse_version("postgres (PostgreSQL) 18.4"), Some((18, 4)));
        assert_eq!(
            parse_version("postgres (PostgreSQL) 18beta1"),
            Some((18, 0))
        );
        assert_eq!(
            parse_version("postgres (PostgreSQL) 19devel"),
            Some((19, 0))
        );
        assert_eq!(parse_version("postgres (PostgreSQL) devel"), None);
        assert_eq!(parse_version("mysqld 8.0"), None);
    }

    #[test]
    fn the_newest_is_chosen_and_the_first_of_equals() {
        let (old, new, same) = (
            Fake::new("a", "14.1"),
            Fake::new("b", "17.2"),
            Fake::new("c", "17.2"),
        );
        let found = find_in(&[old.0.clone(), new.0.clone(), same.0.clone()], &[]).unwrap();
        let psql = new.0.join("psql");
        let bin_dir = new.0.clone();
        let version = (17, 2);
        assert_eq!(
            found,
            Installation {
                bin_dir,
                psql,
                version
            }
        );
    }

    #[test]
    fn fourteen_is_taken_and_thirteen_is_not() {
        let (too_old, oldest) = (Fake::new("d", "13.99"), Fake::new("e", "14.0"));
        assert_eq!(
            find_in(std::slice::from_ref(&oldest.0), &[])
                .unwrap()
                .version,
            (14, 0)
        );
        let error = find_in(std::slice::from_ref(&too_old.0), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("Postgres 13 is too old"), "{error}");
        assert!(error.contains("apt install postgresql"), "{error}");
    }

    #[test]
    fn a_link_leads_to_the_directory_that_holds_all_programs() {
        let real = Fake::new("f", "16.0");
        let links = std::env::temp_dir().join(format!("pinion-links-{}", std::process::id()));
        std::fs::create_dir_all(&links).unwrap();
        std::os::unix::fs::symlink(real.0.join("postgres"), links.join("postgres")).unwrap();
        let found = find_in(std::slice::from_ref(&links), &[]);
        std::fs::remove_dir_all(&links).unwrap();
        assert_eq!(found.unwrap().bin_dir, real.0);
    }

    #[test]
    fn an_incomplete_installation_says_what_is_missing() {
        let fake = Fake::new("g", "16.0");
        std::fs::remove_file(fake.0.join("initdb")).unwrap();
        let error = find_in(std::slice::from_ref(&fake.0), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("no program initdb"), "{error}");
    }

    #[test]
    fn a_server_without_a_client_takes_that_of_path() {
        let (server, client) = (Fake::new("h", "16.0"), Fake::new("i", "15.0"));
        std::fs::remove_file(server.0.join("psql")).unwrap();
        let found = find_in(
            std::slice::from_ref(&server.0),
            std::slice::from_ref(&client.0),
        );
        assert_eq!(found.unwrap().psql, client.0.join("psql"));
        let error = find_in(std::slice::from_ref(&server.0), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("no program psql"), "{error}");
    }

    #[test]
    fn every_place_is_listed() {
        let places = usual_places(&directories(Some(OsStr::new(
            "/nowhere/bin:relative:/elsewhere",
        ))));
        assert!(places.contains(&PathBuf::from("/nowhere/bin")));
        assert!(places.contains(&PathBuf::from("/usr/local/pgsql/bin")));
        assert!(!places.contains(&PathBuf::from("relative")));
        assert!(
            places
                .iter()
                .any(|place| place.starts_with("/usr/lib/postgresql"))
        );
    }
}
