//! What is wrong at start-up, and what whoever started it gets to read: one readable line or a list
//! of places in the routes file, and the exit code.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::Instant;

use pinion::demo::postgres::{Cluster, Options, find_binaries};
use support::proxy::Proxy;
use support::{
    Client, PATIENCE, Postgres, Server, Shared, Signal, TempDir, ended, pinion, send_signal,
};

const ROUTES: &str = r#"
[[route]]
name = "one"
method = "GET"
path = "/one"
result = "one"
sql = "select 1 as one"

[[route]]
name = "none"
method = "POST"
path = "/none"
result = "exec"
sql = "select where false"
"#;

const SCHEMA: &str = "
set password_encryption = 'scram-sha-256';
create role scrammer login password 'sesame öpen';
set password_encryption = 'md5';
create role hasher login password 'sesame';
";

/// A database that asks two roles for their passwords, shared by the tests that run at a time.
fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, start)
}

fn start() -> Postgres {
    let postgres = Postgres::start(SCHEMA);
    let rules =
        "local all scrammer scram-sha-256\nlocal all hasher md5\nlocal all postgres trust\n";
    std::fs::write(postgres.sql("show hba_file"), rules).expect("pg_hba.conf");
    postgres.sql("select pg_reload_conf()");
    let deadline = Instant::now() + PATIENCE;
    while postgres.sql("select count(*) from pg_hba_file_rules") != "3"
        || check(&url(&postgres, "scrammer@")).code == Some(0)
    {
        assert!(Instant::now() < deadline, "the rules are not taken");
    }
    postgres
}

/// The database's address with other credentials: `user:password@`.
fn url(postgres: &Postgres, credentials: &str) -> String {
    postgres.url().replace("postgres@", credentials)
}

// ---- Usage ----

#[test]
fn faults_of_usage_exit_2_with_the_usage() {
    for arguments in [
        &["serve", "--routes", "x", "--bogus"][..],
        &["serve"],
        &["check"],
        &["nonsense"],
        &[],
        &["serve", "--routes"],
        &["serve", "--routes", "x", "--backlog", "many"],
        &["serve", "--routes", "x", "--keep-alive", "5"],
        &["serve", "--routes", "x", "--max-body-bytes", "1kb"],
        &["demo", "--log-format", "xml"],
    ] {
        let run = run(pinion(arguments));
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.err);
        assert_eq!(run.out, "", "{arguments:?}");
        let named = arguments
            .iter()
            .rev()
            .find(|argument| argument.starts_with("--"));
        assert!(
            run.err.contains(named.unwrap_or(&"Usage:")),
            "{arguments:?}: {}",
            run.err
        );
    }
}

#[test]
fn help_and_version() {
    let help = run(pinion(&["serve", "--help"]));
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for heading in [
        "Sockets:",
        "Cores:",
        "Postgres:",
        "Limits:",
        "Timeouts:",
        "Logs:",
    ] {
        assert!(
            help.out.contains(&format!("\n{heading}\n")),
            "{heading} is not in\n{}",
            help.out
        );
    }
    assert!(help.out.contains("PINION_STATEMENT_TIMEOUT") && help.out.contains("[default: 500ms]"));
    for command in ["serve", "demo", "check"] {
        assert_eq!(run(pinion(&[command, "--help"])).code, Some(0));
    }
    let version = run(pinion(&["--version"]));
    assert_eq!(
        version.out,
        format!("pinion {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn settings_come_from_the_environment_and_flags_win() {
    let postgres = postgres();
    let directory = TempDir::new();
    let routes = directory.file("routes.toml", ROUTES);
    let mut command = pinion(&["serve", "--max-body-bytes", "20"]);
    command
        .env("PINION_ROUTES", &routes)
        .env("PINION_DATABASE_URL", postgres.url())
        .env("PINION_LISTEN", "127.0.0.1:0")
        .env("PINION_CORES", "0")
        .env("PINION_LOG_FORMAT", "text")
        .env("PINION_MAX_HEAD_BYTES", "256")
        .env("PINION_MAX_BODY_BYTES", "10");
    let server = Server::run(command, directory).ready();
    assert_eq!(server.get("/one").status, 200);
    assert_eq!(server.get(&format!("/one?{}", "x".repeat(256))).status, 414);
    assert_eq!(server.send("POST", "/none", &" ".repeat(20)).status, 204);
    assert_eq!(server.send("POST", "/none", &" ".repeat(21)).status, 413);
    let mut wrong = pinion(&["serve", "--routes", "x"]);
    wrong.env("PINION_BACKLOG", "many");
    let run = run(wrong);
    assert_eq!(run.code, Some(2));
    assert!(run.err.contains("--backlog"), "{}", run.err);
}

// ---- The routes file ----

#[test]
fn a_routes_file_that_can_not_be_read() {
    let directory = TempDir::new();
    for (place, reason) in [("none.toml", "No such file"), ("", "Is a directory")] {
        let place = directory.path().join(place);
        let mut command = pinion(&["serve", "--routes"]);
        command.arg(&place);
        fails_with(
            &run(command),
            &[
                "error: can't read the routes file ",
                place.to_str().unwrap(),
                reason,
            ],
        );
    }
    let binary = directory.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let mut command = pinion(&["serve", "--routes"]);
    command.arg(&binary);
    fails_with(&run(command), &["can't read the routes file", "UTF-8"]);
}

#[test]
fn every_fault_of_a_routes_file_has_its_place_and_all_come_in_one_go() {
    let faulty = r#"colour = "red"

[[route]]
name = "get_user"
method = "GET"
path = "/users/{user_id}"
result = "one"
sql = "select :user_id::int4 as a, :nme::text as b"
params = { name = { in = "query" } }

[[route]]
name = "get_user"
method = "GET"
path = "/users/{id}"
resutl = "one"
result = "one"
sql = "select 1 as one where :id::int4 = 1"

[[route]]
name = "again"
method = "FETCH"
path = "/again"
result = "some"
lane = "fast"
timeout = "soon"
sql = "select 'open"
"#;
    let run = serve(faulty, "postgres://nobody@/x?host=/nonexistent", &[]);
    assert_eq!(run.code, Some(1));
    for (place, words) in [
        ("1:1", "unknown key \"colour\""),
        ("8:", "\":nme\" is not declared"),
        ("9:12", "unused parameter \"name\""),
        (
            "12:8",
            "a route named \"get_user\" is declared on line 4 already",
        ),
        (
            "14:8",
            "GET /users/{id} can't be told apart from /users/{user_id} on line 6",
        ),
        ("15:1", "unknown key \"resutl\""),
        ("21:10", "\"FETCH\""),
        ("23:10", "\"some\""),
        ("24:8", "there is no lane \"fast\""),
        ("25:11", "\"timeout\" must be"),
        ("26:15", "this string is never closed"),
    ] {
        let found = run.err.split("\n\n").any(|fault| {
            fault.contains(&format!("routes.toml:{place}"))
                && fault.contains(words)
                && fault.contains("^")
        });
        assert!(found, "{place} {words:?} is not in\n{}", run.err);
    }
    assert!(run.err.contains("did you mean"), "{}", run.err);
    assert!(run.err.trim_end().ends_with("routes.toml"), "{}", run.err);
}

#[test]
fn a_duplicate_route_and_no_toml_at_all() {
    let twice = format!(
        "{ROUTES}{}",
        ROUTES
            .replace("\"one\"\nmethod", "\"two\"\nmethod")
            .replace("\"none\"\nmethod", "\"three\"\nmethod")
    );
    let run = serve(&twice, "", &[]);
    fails_with(
        &run,
        &[
            "GET /one is declared on line 5 already",
            "POST /none is declared on line 12 already",
            "2 faults in",
        ],
    );
    let run = serve("[[route]\nname = ", "", &[]);
    fails_with(&run, &["routes.toml:1:", "^"]);
    let run = serve("", "", &[]);
    fails_with(&run, &["the file declares no route", "[[route]]"]);
}

#[test]
fn what_only_postgres_sees_is_found_at_start_up() {
    let postgres = postgres();
    let faulty = r#"
[[route]]
name = "typo"
method = "GET"
path = "/typo"
result = "one"
sql = '''
select relname
  from pg_clas
'''

[[route]]
name = "unknown_type"
method = "GET"
path = "/unknown_type"
result = "one"
sql = "select :x as x, point(1,2) as place"
params = { x = { in = "query" } }

[[route]]
name = "nothing"
method = "POST"
path = "/nothing"
result = "one"
sql = "delete from pg_class where false"
"#;
    let run = serve(faulty, &postgres.url(), &[]);
    fails_with(
        &run,
        &[
            "relation \"pg_clas\" does not exist",
            "routes.toml:9:8",
            "9 |   from pg_clas\n  |        ^^^^^^^",
            "column \"place\" is of type point, which is not supported",
            "routes.toml:24:10",
            "the statement returns no columns",
            "3 faults in",
        ],
    );
}

// ---- The database ----

#[test]
fn urls_that_can_not_be() {
    for (url, words) in [
        (
            "mysql://localhost/x",
            "a database URL starts with postgres://",
        ),
        ("postgres://u@h:port/x", "port"),
        ("postgres://u@/x?colour=red", "unknown keyword: colour"),
        (
            "postgres://u@h/x?sslmode=verify-full&sslrootcert=/none",
            "sslrootcert /none: it does not exist",
        ),
        (
            "postgres://u@h/x?target_session_attrs=best",
            "target_session_attrs must be",
        ),
        ("host=a,b port=1,2,3 user=u", "give one for each host"),
        ("host='a user=u", "not well-formed"),
        ("postgres://u:secret%zz@h/x", "not well-formed"),
    ] {
        let run = serve(ROUTES, url, &[]);
        one_line(&run, &["error: --database-url: ", words]);
        assert!(!run.err.contains("secret"), "{}", run.err);
    }
}

#[test]
fn passwords_from_everywhere() {
    let postgres = postgres();
    let scrammer = url(&postgres, "scrammer@");
    let hasher = url(&postgres, "hasher@");
    for (given, user) in [
        ("scrammer:sesame%20%C3%B6pen@", &scrammer),
        ("hasher:sesame@", &hasher),
    ] {
        let run = check(&url(&postgres, given));
        assert_eq!(run.code, Some(0), "{given}: {}", run.err);
        let wrong = url(&postgres, &given.replace("sesame", "opensesame"));
        one_line(
            &check(&wrong),
            &[
                "error: no connection to Postgres: ",
                "password authentication failed",
                "(28P01)",
            ],
        );
        one_line(
            &serve(ROUTES, &wrong, &[]),
            &["password authentication failed", "(28P01)"],
        );
        let fix = "Postgres asks for a password: give it in the database URL, in PGPASSWORD or in ~/.pgpass";
        one_line(&check(user), &["error: no connection to Postgres: ", fix]);
        one_line(
            &serve(ROUTES, user, &[]),
            &["error: no connection to Postgres: ", fix],
        );
    }
    let environment = |url: &str, name: &str, value: &std::ffi::OsStr| {
        let directory = TempDir::new();
        let routes = directory.file("routes.toml", ROUTES);
        let mut command = pinion(&["check", "--database-url", url, "--routes"]);
        command.arg(routes).env(name, value);
        run(command)
    };
    let password = "sesame öpen".as_ref();
    assert_eq!(environment(&scrammer, "PGPASSWORD", password).code, Some(0));
    assert_eq!(
        environment(&scrammer, "PGPASSWORD", "wrong".as_ref()).code,
        Some(1)
    );
    let home = TempDir::new();
    let file = home.file(
        ".pgpass",
        "*:*:*:hasher:sesame\n*:*:shop:scrammer:sesame öpen\n",
    );
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    for url in [&scrammer, &hasher] {
        let run = environment(url, "HOME", home.path().as_os_str());
        assert_eq!(run.code, Some(0), "{}", run.err);
    }
    // What others may read is passed over, as psql does.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let run = environment(&hasher, "HOME", home.path().as_os_str());
    assert_eq!(run.code, Some(1));
    assert!(
        run.err.contains(".pgpass"),
        "why it has no password is not told: {}",
        run.err
    );
}

#[test]
fn a_database_that_is_not_there() {
    let postgres = postgres();
    let unknown = postgres.url().replace("/shop?", "/nonsense?");
    one_line(
        &serve(ROUTES, &unknown, &[]),
        &[
            "error: no connection to Postgres: ",
            "database \"nonsense\" does not exist",
            "(3D000)",
        ],
    );
    let nobody = url(&postgres, "nobody@");
    one_line(&serve(ROUTES, &nobody, &[]), &["nobody", "(28000)"]);
}

#[test]
fn over_tcp_as_over_the_socket() {
    let postgres = postgres();
    let socket = postgres.url().split_once("host=").unwrap().1.to_owned() + "/.s.PGSQL.5432";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            relay(
                client,
                UnixStream::connect(&socket).expect("the socket of Postgres"),
            );
        }
    });
    for url in [
        format!("postgres://scrammer:sesame%20%C3%B6pen@127.0.0.1:{port}/shop"),
        format!("postgresql://localhost:{port}/shop?user=postgres&application_name=x"),
        format!(
            "host=127.0.0.1 port={port} dbname=shop user=hasher password=sesame connect_timeout=5"
        ),
        format!(
            "host=/nonexistent,127.0.0.1 port={port} dbname=shop user=postgres target_session_attrs=read-write"
        ),
    ] {
        let run = check(&url);
        assert_eq!(run.code, Some(0), "{url}: {}", run.err);
    }
}

/// Carries bytes both ways until one side closes.
fn relay(tcp: TcpStream, unix: UnixStream) {
    let (mut from_tcp, mut to_tcp) = (tcp.try_clone().unwrap(), tcp);
    let (mut from_unix, mut to_unix) = (unix.try_clone().unwrap(), unix);
    std::thread::spawn(move || {
        carry(&mut from_tcp, &mut to_unix);
        let _ = to_unix.shutdown(std::net::Shutdown::Both);
    });
    std::thread::spawn(move || {
        carry(&mut from_unix, &mut to_tcp);
        let _ = to_tcp.shutdown(std::net::Shutdown::Both);
    });
}

fn carry(from: &mut impl Read, to: &mut impl Write) {
    let _ = std::io::copy(from, to);
}

#[test]
fn it_starts_without_postgres_and_recovers_when_that_comes() {
    let scratch = TempDir::new();
    let options = Options {
        installation: find_binaries(None).expect("Postgres"),
        data_dir: scratch.path().join("postgres"),
        fresh: false,
    };
    let cluster = Cluster::start(&options).expect("a cluster");
    cluster.ensure_loaded("select").expect("a database");
    let url = cluster.url();
    drop(cluster);

    let mut server = Server::start(ROUTES, &url, &[]);
    server.wait_for_line("Postgres is away: starting without it");
    assert_eq!(server.get("/health").status, 200);
    let ready = server.get("/ready");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("postgres: ") && ready.text().contains(".s.PGSQL.5432"),
        "{}",
        ready.text()
    );
    let start = Instant::now();
    for _ in 0..3 {
        let response = server.get("/one");
        assert_eq!(response.status, 503);
        assert!(
            response.text().contains("Database unavailable"),
            "{}",
            response.text()
        );
        assert_eq!(response.field("retry-after"), Some("1"));
    }
    assert!(start.elapsed() < PATIENCE / 2);
    let cluster = Cluster::start(&options).expect("a cluster");
    let server = server.ready();
    assert_eq!(server.get("/one").status, 200);
    drop(server);
    drop(cluster);
}

#[test]
fn a_postgres_that_says_nothing_keeps_nobody_from_what_needs_none() {
    let directory = TempDir::new();
    // Whoever connects is in its queue.
    let _silent = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).expect("a socket");
    let url = format!(
        "postgres:///none?host={}&connect_timeout=2",
        directory.path().display()
    );
    let mut server = Server::start(ROUTES, &url, &[]);
    server.wait_for_line("Postgres is away: starting without it");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/one").status, 503);
    assert_eq!(server.get("/ready").status, 503);
}

#[test]
fn the_first_requests_wait_for_the_connections_of_their_core() {
    let postgres = postgres();
    let proxy = Proxy::start(&postgres.socket());
    // A connection takes some tenths of a second.
    proxy.dribble(true);
    let server = Server::start(ROUTES, &proxy.url(), &["--cores", "0,1"]);
    // With so many sockets, some are on either core.
    let clients: Vec<_> = (0..16).map(|_| Client::connect(server.address)).collect();
    for mut client in clients {
        let response = client.request("GET", "/one", None);
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

// ---- The machine ----

#[test]
fn addresses_and_cores_that_can_not_be() {
    let postgres = postgres();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = serve(ROUTES, &postgres.url(), &["--listen", &address]);
    fails_with(
        &run,
        &[
            "error: can't listen on http://",
            &address,
            "in use",
            "--listen",
        ],
    );
    for (flags, words) in [
        (["--listen", "nowhere"], "--listen nowhere: "),
        (
            ["--listen", "192.0.2.1:0"],
            "no interface of this host has that address",
        ),
        (
            ["--listen", "unix:/nonexistent/x"],
            "can't listen on unix:/nonexistent/x: No such file",
        ),
        (
            ["--cores", "4000"],
            "--cores 4000: this process may not use core 4000",
        ),
        (
            ["--cores", "x"],
            "--cores x: numbers and ranges, such as 0-3,6",
        ),
        (["--ring-depth", "1000"], "--ring-depth: a power of two"),
        (["--log", "pinion=loud"], "--log pinion=loud: "),
    ] {
        let run = serve(ROUTES, &postgres.url(), &flags);
        assert_eq!(run.code, Some(1), "{flags:?}: {}", run.err);
        let fault = run.err.lines().last().unwrap_or_default();
        assert!(
            fault.starts_with("error: ") && fault.contains(words),
            "{flags:?}: {}",
            run.err
        );
    }
}

#[test]
fn a_deep_ring_of_few_connections_serves() {
    let postgres = postgres();
    let flags = ["--ring-depth", "32768", "--max-connections", "100"];
    let server = Server::start(ROUTES, &postgres.url(), &flags);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn what_is_asked_of_it_while_it_waits_for_postgres_does_not_end_it() {
    let directory = TempDir::new();
    let routes = directory.file("routes.toml", ROUTES);
    let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).expect("a socket");
    let url = format!("postgres:///none?host={}", directory.path().display());
    let mut command = pinion(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
    command.arg("--routes").arg(&routes);
    // A Postgres that takes its time, and then goes.
    let asking = std::thread::spawn(move || {
        let (asked, _) = listener.accept().expect("it asks");
        let pid = rustix::net::sockopt::socket_peercred(&asked)
            .expect("its process")
            .pid;
        let first = ROUTES.split("\n\n").next().expect("a route");
        std::fs::write(routes, first).expect("the routes file");
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
            send_signal(pid.as_raw_nonzero().get().cast_unsigned(), signal);
        }
    });
    let mut server = Server::run(command, directory);
    asking.join().expect("it was asked");
    assert_eq!(server.get("/health").status, 200);
    let log = server.log().join("\n");
    assert!(log.contains("reading the routes file again"), "{log}");
    assert!(log.contains("routes=1 "), "{log}");
}

#[test]
fn a_reload_is_not_lost_whenever_in_the_start_it_is_asked_for() {
    let postgres = postgres();
    let directory = TempDir::new();
    let routes = directory.file("routes.toml", ROUTES);
    for _ in 0..10 {
        let mut command = pinion(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--database-url", &postgres.url(), "--routes"]);
        let mut server = command.arg(&routes).spawn().expect("pinion");
        let log = BufReader::new(server.stderr.take().expect("it is piped"));
        let mut lines = log.lines().map_while(Result::ok);
        // The file has been read, and the server is not there yet.
        assert!(lines.any(|line| line.contains(" serving ")));
        send_signal(server.id(), Signal::HUP);
        assert!(lines.any(|line| line.contains(" listening on ")));
        send_signal(server.id(), Signal::TERM);
        let rest: Vec<String> = lines.collect();
        assert!(
            rest.iter().any(|line| line.contains("SIGHUP: reading")),
            "{rest:?}"
        );
        assert!(server.wait().expect("its status").success());
    }
}

#[test]
fn too_little_memory_to_lock_is_told_with_the_fix() {
    let postgres = postgres();
    let directory = TempDir::new();
    let routes = directory.file("routes.toml", ROUTES);
    let limited = |command: &str| {
        let mut shell = Command::new("sh");
        let line = "ulimit -l 64; exec \"$0\" \"$@\"";
        shell.args(["-c", line, env!("CARGO_BIN_EXE_pinion"), command]);
        shell
            .args(["--database-url", &postgres.url(), "--routes"])
            .arg(&routes);
        shell.stdin(std::process::Stdio::null());
        shell
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        run(shell)
    };
    for command in ["serve", "check"] {
        one_line(
            &limited(command),
            &["may lock only 64 KiB", "ulimit -l", "LimitMEMLOCK"],
        );
    }
}

// ---- Helpers ----

/// A command that has ended.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(command: Command) -> Run {
    let (code, out, err) = ended(command);
    Run { code, out, err }
}

fn serve(routes: &str, url: &str, flags: &[&str]) -> Run {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", routes);
    let mut command = pinion(&["serve", "--database-url", url, "--routes"]);
    command.arg(file).args(flags);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    run(command)
}

fn check(url: &str) -> Run {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", ROUTES);
    let mut command = pinion(&["check", "--database-url", url, "--routes"]);
    command.arg(file);
    run(command)
}

fn fails_with(run: &Run, words: &[&str]) {
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{}", run.err);
    for words in words {
        assert!(run.err.contains(words), "{words:?} is not in\n{}", run.err);
    }
}

fn one_line(run: &Run, words: &[&str]) {
    fails_with(run, words);
    assert!(
        run.err.starts_with("error: ") && run.err.lines().count() == 1,
        "{}",
        run.err
    );
}
