//! What clients and the database choose can't forge a line, nor speak to the terminal of whoever reads it.

use super::support::{Client, Server, Signal, echo};

/// A route whose errors say what its client has sent.
const ROUTES: &str = r#"
[[route]]
name = "say"
method = "GET"
path = "/say/{text}"
result = "one"
batch = false
sql = "select pg_read_file(:text) as text"
"#;

/// Agents that are allowed by the parser, each with a part that has to be in the log.
const AGENTS: [(&[u8], &str); 5] = [
    (b"tab\there", "tab\\there"),
    (b"quote\"here", "quote\\\"here"),
    (b"back\\here", "back\\\\here"),
    (b"csi\xc2\x9b2Jhere", "2Jhere"),
    (b"latin\xe9here", "here"),
];

fn log_of(format: &str) -> Vec<String> {
    let postgres = echo::postgres();
    let flags = ["--log-format", format, "--access-log", "all,query"];
    let routes = [echo::ROUTES, ROUTES].concat();
    let mut server = Server::start(&routes, &postgres.url(), &flags).ready();
    server.forget_log();
    for (agent, _) in AGENTS {
        let mut client = Client::connect(server.address);
        client.send("GET /echo/%0d%0aERROR%20forged%1b[2J HTTP/1.1\r\nHost: a\r\nUser-Agent: ");
        client.send(agent);
        client.send("\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    // What is refused has left nothing of it in the log either.
    for raw in [
        &b"GET /a\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET /a\rERROR forged HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[2J\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: a\rERROR forged\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\x1bERROR forged\r\n\r\n",
    ] {
        let mut client = Client::connect(server.address);
        client.send(raw);
        assert_eq!(client.response().status, 400);
    }
    // Whatever comes in an id that is well-formed as a field and not as an id.
    let mut client = Client::connect(server.address);
    client.send("GET /health?%0a=%1b HTTP/1.1\r\nHost: a\r\nX-Request-ID: forged id=1\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let said = server.get("/say/%0a2026-01-01T00:00:00.000000Z%20ERROR%20forged%1b[2J");
    assert_eq!(said.status, 500, "{}", said.text());
    server.signal(Signal::TERM);
    server.wait_for_line("stopped");
    server.log().to_vec()
}

#[test]
fn no_line_for_people_is_forged() {
    let log = log_of("text");
    for line in &log {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.starts_with("20") && &line[26..28] == "Z ", "{line:?}");
        assert!(
            !line.contains("id=\"forged") && !line.contains("id=forged"),
            "{line:?}"
        );
    }
    let errors = log.iter().filter(|line| line[28..].starts_with("ERROR"));
    assert_eq!(errors.count(), 1, "{log:?}");
    let text = log.join("\n");
    for (_, part) in AGENTS {
        assert!(text.contains(part), "{part}: {text}");
    }
    let path = r#"path="/echo/%0d%0aERROR%20forged%1b[2J""#;
    assert_eq!(text.matches(path).count(), AGENTS.len(), "{text}");
}

#[test]
fn no_line_for_machines_is_forged() {
    let log = log_of("json");
    for line in &log {
        super::json(line);
    }
    let text = log.join("\n");
    for (_, part) in AGENTS {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("csi\\u009b2Jhere"), "{text}");
}
