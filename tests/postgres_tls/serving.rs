//! Routes that are answered over TLS: everything that holds without it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sonic_rs::JsonValueTrait;

use crate::fixture::{Load, lines, until};
use crate::server::{TlsPostgres, Verdict, shared};
use crate::support::certificates::{Authority, Leaf};
use crate::support::{Server, TempDir, items};

pub const ROUTES: &str = concat!(
    r#"
[lane.slow]
connections = 1
"#,
    items::route!(),
    r#"
[[route]]
name = "texts"
method = "GET"
path = "/texts"
result = "many"
sql = "select id, text from texts where id <= :most order by id"
[route.params]
most = { in = "query" }

[[route]]
name = "text"
method = "GET"
path = "/texts/{id}"
result = "one"
sql = "select id, text from texts where id = :id"

[[route]]
name = "nap"
method = "GET"
path = "/nap/{seconds}"
result = "scalar"
cancel = true
lane = "slow"
timeout = "60s"
sql = "select 1 from pg_sleep(:seconds::float8)"

"#
);

/// Ends the backends of sessions with this name.
pub fn terminate(postgres: &TlsPostgres, name: &str) {
    postgres.sql(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'"
    ));
}

#[test]
fn large_results_and_batches_are_whole_over_tls() {
    let shared = shared();
    let settings = format!("sslmode=verify-full&sslrootcert={}", shared.root.display());
    let server = Server::start(ROUTES, &shared.postgres.url("anyone", &settings), &[]).ready();
    // 128 KiB each: longer than a record and than a socket's input.
    let texts: Vec<String> = {
        let rows = shared.postgres.sql("select text from texts order by id");
        rows.lines().map(str::to_owned).collect()
    };
    assert!(texts.len() == 40 && texts.iter().all(|text| text.len() == 128 * 1024));
    for most in [1, 2, 40] {
        let answer = server.get(&format!("/texts?most={most}"));
        assert_eq!(answer.status, 200);
        let rows = answer.json();
        for (index, text) in texts.iter().take(most).enumerate() {
            assert!(
                rows[index]["text"].as_str() == Some(text),
                "row {index} of {most}"
            );
        }
        assert!(rows.get(most).is_none());
    }
    // Batches of short rows, and of long ones between them.
    let ((), tally) = Load::during(server.address, || {
        for (index, text) in texts.iter().enumerate() {
            let answer = server.get(&format!("/texts/{}", index + 1)).json();
            assert!(answer["text"].as_str() == Some(text), "text {}", index + 1);
        }
    });
    tally.expect(&[200]);
}

#[test]
fn lost_sessions_come_back_under_load() {
    let shared = shared();
    let root = shared.root.display();
    let settings = format!("sslmode=verify-full&application_name=lost&sslrootcert={root}");
    let mut server = Server::start(ROUTES, &shared.postgres.url("anyone", &settings), &[]).ready();
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..4 {
            terminate(&shared.postgres, "lost");
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    // Reads are tried again on another session; when none is there they are refused.
    tally.expect(&[200, 503]);
    until("it serves again", || server.get("/items/7").status == 200);
    let words = "terminating connection due to administrator command";
    until("Postgres's last words", || lines(&mut server, words) > 0);
    let encrypted = "select count(*) filter (where ssl), count(*) filter (where not ssl) \
                     from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'lost'";
    until("its sessions are encrypted", || {
        let counts = shared.postgres.sql(encrypted);
        counts.ends_with("|0") && !counts.starts_with('0')
    });
}

#[test]
fn a_cancellation_is_encrypted_as_its_session_is() {
    let shared = shared();
    let sleeps = |name: &str| {
        let sql = format!(
            "select count(*) from pg_stat_activity \
             where application_name = '{name}' and wait_event = 'PgSleep'"
        );
        shared.postgres.sql(&sql) == "1"
    };
    let root = shared.root.display();
    for (name, mode) in [("hidden", "verify-full"), ("seen", "disable")] {
        let wire = Wiretap::start(shared.postgres.port);
        let settings = format!("sslmode={mode}&application_name={name}&sslrootcert={root}");
        let url = shared.postgres.url("anyone", &settings);
        let url = url.replace(&shared.postgres.port.to_string(), &wire.port.to_string());
        let server = Server::start(ROUTES, &url, &["--statement-timeout", "0s"]).ready();
        let mut client = server.client();
        client.send("GET /nap/600 HTTP/1.1\r\nHost: test\r\n\r\n");
        until("it sleeps", || sleeps(name));
        let before = wire.heard().len();
        drop(client);
        until("it is cancelled", || !sleeps(name));
        let heard = wire.heard();
        assert!(heard.len() > before, "the cancellation came by itself");
        let cancels = |bytes: &Vec<u8>| bytes.get(4..8) == Some(&[0x04, 0xd2, 0x16, 0x2e]);
        let asks = |bytes: &Vec<u8>| bytes.get(4..8) == Some(&[0x04, 0xd2, 0x16, 0x2f]);
        match mode {
            "disable" => assert!(heard.iter().any(cancels)),
            _ => {
                assert!(heard.iter().all(asks), "not every connection asks for TLS");
                let shown = |bytes: &Vec<u8>| bytes.windows(6).any(|part| part == b"anyone");
                assert!(!heard.iter().any(shown), "something was told in the clear");
            }
        }
        assert_eq!(server.get("/nap/0").status, 200);
    }
}

/// Passes connections on to a server and keeps what clients send.
struct Wiretap {
    port: u16,
    /// The bytes of each connection.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wiretap {
    fn start(server: u16) -> Wiretap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let all = heard.clone();
        // It ends with the process of the tests; its connections end with either side.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let index = {
                    let mut all = all.lock().expect("nobody panics");
                    all.push(Vec::new());
                    all.len() - 1
                };
                let (back, forth) = (clone(&server, &client), clone(&client, &server));
                let all = all.clone();
                std::thread::spawn(move || pass(back, |_| ()));
                std::thread::spawn(move || {
                    pass(forth, |bytes| {
                        all.lock().expect("nobody panics")[index].extend_from_slice(bytes);
                    });
                });
            }
        });
        Wiretap { port, heard }
    }

    /// Of connections that have said something.
    fn heard(&self) -> Vec<Vec<u8>> {
        let mut heard = self.heard.lock().expect("nobody panics").clone();
        heard.retain(|bytes| bytes.len() >= 8);
        heard
    }
}

fn clone(from: &TcpStream, to: &TcpStream) -> (TcpStream, TcpStream) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
    (clone(from), clone(to))
}

fn pass((mut from, mut to): (TcpStream, TcpStream), mut hear: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        hear(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[test]
fn servers_of_one_version_are_spoken_to_in_it() {
    let postgres = TlsPostgres::start("");
    let authority = Authority::new("The root");
    let directory = TempDir::new();
    let root = authority.file(&directory, "root.crt");
    let certificate = postgres.certificate("server", &authority.issue(&Leaf::default()), None);
    for (version, other) in [("TLSv1.2", "TLSv1.3"), ("TLSv1.3", "TLSv1.2")] {
        postgres.configure(&format!(
            "{certificate}ssl_min_protocol_version = '{version}'\n\
             ssl_max_protocol_version = '{version}'\n"
        ));
        let settings = format!("sslmode=verify-full&sslrootcert={}", root.display());
        let (verdict, words) =
            postgres.verdict(&postgres.url("anyone", &settings), directory.path());
        assert_eq!(verdict, Verdict::Encrypted, "{words}");
        assert!(
            postgres
                .log()
                .contains(&format!("SSL enabled (protocol={version},"))
        );
        let range = format!("ssl_min_protocol_version={other}&ssl_max_protocol_version={other}");
        let url = postgres.url("anyone", &format!("{settings}&{range}"));
        let (verdict, words) = postgres.verdict(&url, directory.path());
        assert_eq!(verdict, Verdict::Refused);
        assert!(words.contains("ssl_min_protocol_version"), "{words}");
        let server = Server::start(ROUTES, &postgres.url("anyone", &settings), &[]).ready();
        assert_eq!(server.get("/items/3").status, 200);
    }
}
