//! The demo's private Postgres, for real: made, started, left behind, taken over, filled, stopped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pinion::demo::postgres::{Cluster, Error, Installation, Options, find_binaries};
use pinion::demo::{ROUTES, SCHEMA};

/// A small script in place of the shop, for the tests that are not about the shop.
const SMALL: &str = "create table things (thing int4); insert into things values (1), (2);";

#[test]
fn a_cluster_starts_answers_and_is_gone_after_stop() {
    let scratch = Scratch::new("start");
    let mut cluster = start(&scratch.0, false).unwrap();
    cluster.ensure_loaded(SMALL).unwrap();
    assert_eq!(query(&cluster, "select count(*) from things"), "2");
    assert_eq!(query(&cluster, "show listen_addresses"), "");
    assert_eq!(query(&cluster, "show fsync"), "on");

    let server = cluster.server_pid().unwrap();
    let socket_dir = socket_dir(&cluster);
    assert_eq!(mode(&socket_dir), 0o700);
    // Ctrl-C at the terminal goes to the group of the process in front, which must not be the server's.
    assert_eq!(process_group(server), server);
    assert_ne!(process_group(server), process_group(std::process::id()));

    cluster.stop().unwrap();
    assert!(!Path::new(&format!("/proc/{server}")).exists());
    assert!(!socket_dir.join(".s.PGSQL.5432").exists());
    assert!(!scratch.0.join("cluster/postmaster.pid").exists());
    let log = fs::read_to_string(scratch.0.join("postgres.log")).unwrap();
    assert!(log.contains("database system is shut down"), "{log}");
    cluster.stop().unwrap();
    assert_eq!(cluster.server_pid(), None);
}

#[test]
fn dropping_a_cluster_stops_it_and_its_rows_stay() {
    let scratch = Scratch::new("drop");
    let cluster = start(&scratch.0, false).unwrap();
    cluster.ensure_loaded(SMALL).unwrap();
    query(&cluster, "insert into things values (3)");
    let server = cluster.server_pid().unwrap();
    drop(cluster);
    assert!(!Path::new(&format!("/proc/{server}")).exists());

    let again = start(&scratch.0, false).unwrap();
    assert_eq!(query(&again, "select count(*) from things"), "3");
}

#[test]
fn the_server_of_a_killed_starter_is_taken_over() {
    let scratch = Scratch::new("takeover");
    let (mut starter, left_over) = spawn_starter(&scratch.0);
    assert!(matches!(start(&scratch.0, false), Err(Error::InUse(_))));
    starter.kill().unwrap();
    starter.wait().unwrap();
    assert!(
        is_server_on(left_over, &scratch.0),
        "the server was to outlive its killed starter"
    );

    let mut cluster = start(&scratch.0, false).unwrap();
    assert!(!is_server_on(left_over, &scratch.0));
    assert_ne!(cluster.server_pid(), Some(left_over));
    // What the killed starter committed is there.
    assert_eq!(query(&cluster, "select count(*) from things"), "2");
    assert!(!cluster.ensure_loaded(SMALL).unwrap());
    cluster.stop().unwrap();
}

#[test]
fn fresh_ends_a_left_over_server_too() {
    let scratch = Scratch::new("fresh");
    let (mut starter, left_over) = spawn_starter(&scratch.0);
    starter.kill().unwrap();
    starter.wait().unwrap();
    fs::write(scratch.0.join("notes.txt"), "mine").unwrap();

    let cluster = start(&scratch.0, true).unwrap();
    assert!(!is_server_on(left_over, &scratch.0));
    assert!(
        cluster.ensure_loaded(SMALL).unwrap(),
        "a fresh cluster was to be empty"
    );
    assert_eq!(
        fs::read_to_string(scratch.0.join("notes.txt")).unwrap(),
        "mine"
    );
}

/// Not a test: what the two tests above run in a process of its own, to be killed.
#[test]
fn starter() {
    let Some(data_dir) = std::env::var_os(STARTER) else {
        return;
    };
    let cluster = start(Path::new(&data_dir), false).unwrap();
    cluster.ensure_loaded(SMALL).unwrap();
    println!("\n{STARTER} {}", cluster.server_pid().unwrap());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_stale_pid_file_is_no_obstacle_even_if_the_number_lives() {
    let scratch = Scratch::new("stale");
    drop(start(&scratch.0, false).unwrap());
    let pid_file = scratch.0.join("cluster/postmaster.pid");
    // A process of the server's own user: only that one would Postgres take for another server.
    let mut stranger = Command::new("sleep");
    stranger.arg("60");
    let owner =
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(scratch.0.join("cluster")).unwrap());
    if owner != std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) {
        std::os::unix::process::CommandExt::uid(&mut stranger, owner);
    }
    let mut stranger = stranger.spawn().unwrap();
    fs::write(&pid_file, format!("{}\n/elsewhere\n", stranger.id())).unwrap();
    let started = start(&scratch.0, false).map(drop);
    let stranger_lives = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    started.unwrap();
    assert!(
        stranger_lives,
        "a process that is not the server's must not be signalled"
    );
}

#[test]
fn foreign_directories_are_refused_and_left_as_they_are() {
    let scratch = Scratch::new("foreign");
    fs::create_dir_all(scratch.0.join("cluster")).unwrap();
    fs::write(scratch.0.join("cluster/precious"), "data").unwrap();
    for fresh in [false, true] {
        assert!(matches!(
            start(&scratch.0, fresh),
            Err(Error::ForeignDirectory(_))
        ));
    }
    // Someone else's marker is none: a link could lead anywhere.
    std::os::unix::fs::symlink("/etc/hostname", scratch.0.join("pinion-demo")).unwrap();
    assert!(matches!(
        start(&scratch.0, true),
        Err(Error::ForeignDirectory(_))
    ));
    assert_eq!(
        fs::read_to_string(scratch.0.join("cluster/precious")).unwrap(),
        "data"
    );
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
}

#[test]
fn a_deep_directory_gets_its_socket_elsewhere() {
    let scratch = Scratch::new("deep");
    let data_dir = scratch.0.join("d".repeat(100)).join("with space, comma");
    let cluster = start(&data_dir, false).unwrap();
    cluster.ensure_loaded(SMALL).unwrap();
    let socket_dir = socket_dir(&cluster);
    assert!(!socket_dir.starts_with(&data_dir));
    assert_eq!(mode(&socket_dir), 0o700);
    assert_eq!(query(&cluster, "select count(*) from things"), "2");
    drop(cluster);
    assert!(
        !socket_dir.exists(),
        "a directory outside of the data directory is to be cleared away"
    );
}

#[test]
fn loading_is_done_once_whole_and_not_over_another_schema() {
    let scratch = Scratch::new("load");
    let cluster = start(&scratch.0, false).unwrap();
    let broken = format!("{SMALL} select no_such_function();");
    let error = cluster.ensure_loaded(&broken).unwrap_err().to_string();
    assert!(error.contains("no_such_function"), "{error}");
    assert!(
        cluster.ensure_loaded(SMALL).unwrap(),
        "the failed load was to leave nothing behind"
    );
    query(&cluster, "delete from things where thing = 1");
    assert!(!cluster.ensure_loaded(SMALL).unwrap());
    assert_eq!(query(&cluster, "select count(*) from things"), "1");
    let other = format!("{SMALL} -- changed");
    let error = cluster.ensure_loaded(&other).unwrap_err();
    assert!(matches!(error, Error::SchemaChanged(_)));
    assert!(error.to_string().contains("--fresh"));
}

#[test]
fn another_major_version_is_refused_with_its_remedy() {
    let scratch = Scratch::new("version");
    drop(start(&scratch.0, false).unwrap());
    fs::write(scratch.0.join("cluster/PG_VERSION"), "9\n").unwrap();
    let error = start(&scratch.0, false).unwrap_err();
    assert!(matches!(&error, Error::Version { cluster, .. } if cluster == "9"));
    assert!(error.to_string().contains("--postgres"), "{error}");
}

#[test]
fn a_server_that_does_not_start_tells_its_own_words() {
    let scratch = Scratch::new("faulty");
    drop(start(&scratch.0, false).unwrap());
    fs::write(
        scratch.0.join("cluster/postgresql.conf"),
        "no_such_setting = 1\n",
    )
    .unwrap();
    let error = start(&scratch.0, false).unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[test]
fn the_shop_holds_what_it_promises_and_sells_nothing_twice() {
    let scratch = Scratch::new("shop");
    let cluster = start(&scratch.0, false).unwrap();
    cluster.ensure_loaded(SCHEMA).unwrap();
    for (table, rows) in [
        ("users", "100000"),
        ("users where deleted_at is not null", "1000"),
        ("products", "50000"),
        ("stock", "50000"),
        ("tenants", "3"),
        ("agents", "16"),
        ("messages", "8000"),
        ("workflows", "1000"),
    ] {
        assert_eq!(
            query(&cluster, &format!("select count(*) from {table}")),
            rows,
            "{table}"
        );
    }
    let statements = statements();
    assert_eq!(statements.len(), 13);
    for statement in &statements {
        query(&cluster, &format!("prepare s as {statement}"));
    }
    // 200 reservations by 20 clients at once of a stock of 100.
    let reserve = statements
        .iter()
        .find(|sql| sql.contains("on_hand - $1"))
        .unwrap();
    let script = format!(
        "prepare s as {reserve};{}",
        "execute s (1, 'SKU-00100');".repeat(10)
    );
    let clients: Vec<Child> = (0..20)
        .map(|_| psql(&cluster, &script).spawn().unwrap())
        .collect();
    let outputs = clients
        .into_iter()
        .map(|client| client.wait_with_output().unwrap());
    let reserved: usize = outputs
        .map(|output| text(&output.stdout).matches("SKU-00100|").count())
        .sum();
    assert_eq!(reserved, 100);
    let stock = "select on_hand, reserved from stock where sku = 'SKU-00100'";
    assert_eq!(query(&cluster, stock), "0|100");
}

const STARTER: &str = "PINION_TEST_STARTER";

/// A directory for one test, removed at its end; under the system's, where other users may enter.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let directory =
            std::env::temp_dir().join(format!("pinion-test-{}-{name}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        Scratch(directory.canonicalize().unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// PINION_POSTGRES, the variable of --postgres, chooses the version that the tests run on.
fn installation() -> Installation {
    let flag = std::env::var_os("PINION_POSTGRES").map(PathBuf::from);
    find_binaries(flag.as_deref())
        .expect("these tests need a Postgres server: scripts/test installs one")
}

fn start(data_dir: &Path, fresh: bool) -> Result<Cluster, Error> {
    Cluster::start(&Options {
        installation: installation(),
        data_dir: data_dir.to_owned(),
        fresh,
    })
}

/// Runs [`starter`] in a process of its own; returns it and its server's process id.
fn spawn_starter(data_dir: &Path) -> (Child, u32) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "starter", "--nocapture"])
        .env(STARTER, data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let server = lines
        .find_map(|line| line.strip_prefix(STARTER)?.trim().parse().ok())
        .unwrap();
    (child, server)
}

fn is_server_on(pid: u32, data_dir: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data_dir.join("cluster"))
}

fn process_group(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(2).unwrap().parse().unwrap()
}

fn socket_dir(cluster: &Cluster) -> PathBuf {
    let url = cluster.url();
    let directory = url.strip_prefix("postgres://postgres@/shop?host=").unwrap();
    PathBuf::from(
        percent_encoding::percent_decode_str(directory)
            .decode_utf8()
            .unwrap()
            .as_ref(),
    )
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}

fn psql(cluster: &Cluster, sql: &str) -> Command {
    let mut command = Command::new(installation().psql);
    command.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &cluster.url(),
        "-c",
        sql,
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn query(cluster: &Cluster, sql: &str) -> String {
    let output = psql(cluster, sql).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
    text(&output.stdout).trim_end().to_owned()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The statements of the shop with `$1`, `$2` … for the names of their parameters, in the order of
/// their first appearance.
fn statements() -> Vec<String> {
    let quoted = ROUTES.split("'''").skip(1).step_by(2);
    quoted.map(number_parameters).collect()
}

fn number_parameters(sql: &str) -> String {
    let name = regex::Regex::new("(^|[^:]):([a-z_]+)").unwrap();
    let mut names: Vec<String> = Vec::new();
    let numbered = name.replace_all(sql, |found: &regex::Captures| {
        let known = names.iter().position(|name| *name == found[2]);
        let index = known.unwrap_or_else(|| {
            names.push(found[2].to_owned());
            names.len() - 1
        });
        format!("{}${}", &found[1], index + 1)
    });
    numbered.into_owned()
}
