use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Instant, UNIX_EPOCH};

use super::*;
use crate::metrics::{CoreView, Snapshot};

/// A directory of its own, removed on drop.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("pinion-dump-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn settings(&self) -> Settings {
        Settings {
            directory: self.0.join("dumps"),
            keep: 3,
            age_max: Duration::from_secs(3600),
        }
    }

    /// What is in the directory of the dumps, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("dumps")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_338_900 + seconds)
}

/// What cores 0 and 3 of a server have: `count` requests of one route on the one, none on the other.
fn ledger(count: u64) -> Ledger {
    let mut ledger = Ledger::new(&[0, 3]);
    let names = Snapshot::names(["get_user"].into_iter());
    let mut snapshot = Snapshot::empty(3, names, 4);
    for micros in 1..=count {
        snapshot.routes[0].statuses.add(200, 1);
        snapshot.routes[0].latencies.record(Stage::Total, micros);
    }
    ledger.take(&snapshot, Instant::now());
    ledger
}

fn count_in(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap();
    text.lines().filter(|line| line.starts_with("Tag=")).count()
}

#[test]
fn a_dump_has_a_log_of_each_core_and_percentiles_of_each_route() {
    let place = Place::new("files");
    let mut dumper = Dumper::new(place.settings(), at(0)).unwrap();
    let mut ledger = ledger(1000);
    let path = dumper
        .dump(Undumped::take(&mut ledger), at(60))
        .unwrap()
        .unwrap();
    let name = format!("20261122T091600.000Z-{}", std::process::id());
    assert_eq!(path, place.0.join("dumps").join(&name));
    assert_eq!(place.names(), [name]);
    assert_eq!(count_in(&path.join("core0.hlog")), 0);
    assert_eq!(count_in(&path.join("core3.hlog")), 1);
    let text = fs::read_to_string(path.join("core3.hlog")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "#[Histogram log format version 1.3]");
    let start = "#[StartTime: 1795338900.000 (seconds since epoch), 2026-11-22T09:15:00Z]";
    assert!(lines.contains(&start), "{text}");
    let line = lines.iter().find(|line| line.starts_with("Tag=")).unwrap();
    let (start, payload) = line.rsplit_once(',').unwrap();
    assert_eq!(start, "Tag=get_user:total,0.000,60.000,1.000");
    assert!(payload.starts_with("HISTFAAA"), "{payload}");
    assert_eq!(*lines.last().unwrap(), "#[End: 1 histograms]");
    let percentiles = fs::read_to_string(path.join("get_user.hgrm")).unwrap();
    assert!(percentiles.contains("       1.000 1.000000000000       1000\n"));
    assert!(percentiles.contains("Total count    =         1000]"));
    assert!(
        ledger
            .cores
            .iter()
            .all(|core: &CoreView| core.undumped.is_empty())
    );
}

#[test]
fn an_interval_without_a_request_makes_no_dump_and_is_told_of_in_the_next_one() {
    let place = Place::new("idle");
    let mut dumper = Dumper::new(place.settings(), at(0)).unwrap();
    for minute in 1..=3 {
        let fresh = Undumped::take(&mut ledger(0));
        assert_eq!(dumper.dump(fresh, at(minute * 60)).unwrap(), None);
    }
    let fresh = Undumped::take(&mut ledger(1));
    let path = dumper.dump(fresh, at(240)).unwrap().unwrap();
    let text = fs::read_to_string(path.join("core3.hlog")).unwrap();
    assert!(text.contains("#[IdleFrom: 1795338900.000 "), "{text}");
    assert!(text.contains("#[StartTime: 1795339080.000 "), "{text}");
    // And only in that one.
    let fresh = Undumped::take(&mut ledger(1));
    let path = dumper.dump(fresh, at(300)).unwrap().unwrap();
    let text = fs::read_to_string(path.join("core3.hlog")).unwrap();
    assert!(!text.contains("IdleFrom"), "{text}");
}

#[test]
fn what_can_not_be_written_is_in_the_next_dump() {
    let place = Place::new("full");
    let mut dumper = Dumper::new(place.settings(), at(0)).unwrap();
    // Root may write anywhere, but not where a file is in the way.
    fs::remove_dir(place.0.join("dumps")).unwrap();
    fs::write(place.0.join("dumps"), "").unwrap();
    let error = dumper
        .dump(Undumped::take(&mut ledger(2)), at(60))
        .unwrap_err();
    assert!(error.to_string().contains("dumps: "), "{error}");
    fs::remove_file(place.0.join("dumps")).unwrap();
    let path = dumper
        .dump(Undumped::take(&mut ledger(3)), at(120))
        .unwrap()
        .unwrap();
    let percentiles = fs::read_to_string(path.join("get_user.hgrm")).unwrap();
    assert!(
        percentiles.contains("Total count    =            5]"),
        "{percentiles}"
    );
    let text = fs::read_to_string(path.join("core3.hlog")).unwrap();
    assert!(text.contains("#[StartTime: 1795338900.000 "), "{text}");
}

#[test]
fn dumps_of_the_same_moment_have_names_of_their_own() {
    let place = Place::new("same");
    let mut dumper = Dumper::new(place.settings(), at(0)).unwrap();
    for _ in 0..2 {
        dumper
            .dump(Undumped::take(&mut ledger(1)), at(60))
            .unwrap()
            .unwrap();
    }
    // A clock that was set back changes nothing.
    dumper
        .dump(Undumped::take(&mut ledger(1)), at(0))
        .unwrap()
        .unwrap();
    let process = std::process::id();
    let names = [0, 1, 2].map(|millis| format!("20261122T091600.00{millis}Z-{process}"));
    assert_eq!(place.names(), names);
}

#[test]
fn old_dumps_go_by_count_and_by_age() {
    let place = Place::new("kept");
    let mut dumper = Dumper::new(place.settings(), at(0)).unwrap();
    for minute in 1..=4 {
        dumper
            .dump(Undumped::take(&mut ledger(1)), at(minute * 60))
            .unwrap();
    }
    // Three are kept, the first is gone.
    let names = place.names();
    assert_eq!(names.len(), 3);
    assert!(names[0].starts_with("20261122T091700.000Z-"), "{names:?}");
    // At an hour exactly it stays, a moment later it is gone.
    dumper.dump(Undumped::default(), at(120 + 3600)).unwrap();
    assert_eq!(place.names().len(), 3);
    dumper.dump(Undumped::default(), at(121 + 3600)).unwrap();
    assert_eq!(place.names(), names[1..]);
}

#[test]
fn nothing_is_removed_that_is_not_a_dump() {
    let place = Place::new("foreign");
    let mut settings = place.settings();
    settings.keep = 1;
    let dumps = place.0.join("dumps");
    let elsewhere = place.0.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("core0.hlog"), "").unwrap();
    fs::create_dir_all(&dumps).unwrap();
    let foreign = [
        "20201122T091600.000Z",
        "20201122T091600Z-1",
        "20201122T091600.000Z-01",
        "20201122T091600.000Z-1.old",
        "20201322T091600.000Z-1",
        ".tmp-notes",
        "backup",
    ];
    for name in foreign {
        fs::create_dir(dumps.join(name)).unwrap();
    }
    // Named as dumps are, but: a link, a file, with a note in it, with a directory in it.
    symlink(&elsewhere, dumps.join("20201122T091600.000Z-1")).unwrap();
    fs::write(dumps.join("20201122T091600.000Z-2"), "").unwrap();
    fs::create_dir_all(dumps.join("20201122T091600.000Z-3")).unwrap();
    fs::write(dumps.join("20201122T091600.000Z-3/note.txt"), "keep").unwrap();
    fs::create_dir_all(dumps.join("20201122T091600.000Z-4/core0.hlog")).unwrap();
    let before = {
        drop(Dumper::new(settings.clone(), at(0)).unwrap());
        place.names()
    };
    assert_eq!(before.len(), foreign.len() + 4);
    // One that is a dump.
    let old = dumps.join("20201122T091600.000Z-5");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("core0.hlog"), "").unwrap();
    fs::write(old.join("get_user.hgrm"), "").unwrap();
    drop(Dumper::new(settings, at(0)).unwrap());
    assert_eq!(place.names(), before);
    assert!(elsewhere.join("core0.hlog").exists());
}

#[test]
fn a_draft_of_a_process_that_has_ended_is_removed_and_one_that_is_written_is_not() {
    let place = Place::new("draft");
    let settings = place.settings();
    fs::create_dir(&settings.directory).unwrap();
    let abandoned = settings.directory.join(".tmp-20261122T091600.000Z-1");
    fs::create_dir(&abandoned).unwrap();
    fs::write(abandoned.join("core0.hlog"), "half of").unwrap();
    let mut written = Draft::begin(&settings.directory, at(0)).unwrap();
    written.write("core0.hlog", b"more").unwrap();
    directory::tidy(&settings, at(0));
    assert!(!abandoned.exists());
    let path = written.finish().unwrap();
    assert_eq!(fs::read(path.join("core0.hlog")).unwrap(), b"more");
}

#[test]
fn a_directory_that_can_not_be_written_to_is_said_at_the_start() {
    let place = Place::new("closed");
    let mut settings = place.settings();
    fs::write(place.0.join("file"), "").unwrap();
    settings.directory = place.0.join("file/dumps");
    let error = Dumper::new(settings, at(0)).err().unwrap().to_string();
    assert!(
        error.starts_with("can't make ") && error.contains("file/dumps: "),
        "{error}"
    );
    // Where permissions hold: root has all of them.
    if !rustix::process::geteuid().is_root() {
        let settings = place.settings();
        fs::create_dir(&settings.directory).unwrap();
        fs::set_permissions(&settings.directory, fs::Permissions::from_mode(0o555)).unwrap();
        let error = Dumper::new(settings, at(0)).err().unwrap().to_string();
        assert!(error.starts_with("can't write to "), "{error}");
    }
}

#[test]
fn routes_with_very_long_names_alike_have_one_file_of_percentiles() {
    let place = Place::new("long");
    let mut dumper = Dumper::new(place.settings(), at(0)).unwrap();
    let names = ["a", "b"].map(|end| "x".repeat(300) + end);
    let names = Snapshot::names(names.iter().map(String::as_str));
    let mut snapshot = Snapshot::empty(0, names, 1);
    for route in &mut snapshot.routes[..2] {
        route.statuses.add(200, 1);
        route.latencies.record(Stage::Total, 7);
    }
    let mut ledger = Ledger::new(&[0]);
    ledger.take(&snapshot, Instant::now());
    let fresh = Undumped::take(&mut ledger);
    let path = dumper.dump(fresh, at(60)).unwrap().unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    assert_eq!(count_in(&path.join("core0.hlog")), 2);
}

#[test]
fn file_names_are_safe_and_tell_built_in_routes_apart() {
    assert_eq!(percentiles::file_name("get_user"), "get_user.hgrm");
    assert_eq!(percentiles::file_name("/health"), "+health.hgrm");
    assert_eq!(percentiles::file_name("(unmatched)"), "+unmatched+.hgrm");
    assert_eq!(percentiles::file_name("../x"), "+++x.hgrm");
    assert_eq!(percentiles::file_name(&"x".repeat(999)).len(), 205);
}
