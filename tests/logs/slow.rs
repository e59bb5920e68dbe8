//! `--slow-log`: what took long and where its time went, without what it was about; and repeated faults.

use sonic_rs::{JsonValueTrait, Value};

use super::support::{Server, Signal, TempDir, echo, pinion};
use super::{ask, ids, numbered, of_target, server, stop};

#[test]
fn a_slow_request_is_told_of_with_its_stages_and_without_its_values() {
    let postgres = echo::postgres();
    let server = server(&postgres, &["--slow-log", "200ms"]);
    let request = |target: &str, id: &str| (target.to_owned(), id.to_owned());
    for (target, id) in [request("/slow/0.3", "slow"), request("/slow/0.01", "swift")] {
        ask(&mut server.client(), &[(&target, id)]);
    }
    let log = stop(server);
    let lines = of_target(&log, "slow");
    assert_eq!(ids(&lines), ["slow"]);
    let line = lines[0];
    assert_eq!(line["level"].as_str(), Some("WARN"));
    assert_eq!(line["message"].as_str(), Some("slow request"));
    assert_eq!(line["route"].as_str(), Some("slow"));
    assert_eq!(line["status"].as_u64(), Some(200));
    assert!(
        line["postgres_ms"].as_f64().is_some_and(|ms| ms >= 299.0),
        "{line:?}"
    );
    for key in ["duration_ms", "read_ms", "wait_ms", "write_ms"] {
        assert!(line[key].is_f64(), "{key}: {line:?}");
    }
    let text = line.to_string();
    assert!(
        !text.contains("/slow") && !text.contains("\"0.3\""),
        "{text}"
    );
    for key in ["path", "query", "body"] {
        assert!(line[key].is_null(), "{text}");
    }
}

#[test]
fn what_postgres_had_no_time_for_was_with_postgres() {
    let postgres = echo::postgres();
    let flags = ["--slow-log", "100ms", "--statement-timeout", "200ms"];
    let routes = r#"
[[route]]
name = "alone"
method = "GET"
path = "/alone"
batch = false
result = "scalar"
sql = "select pg_sleep(20)::text"

[[route]]
name = "batched"
method = "GET"
path = "/batched/{seconds}"
result = "scalar"
sql = "select pg_sleep(seconds)::text from (select :seconds::float8 as seconds) as given"

[lane.one]
connections = 1

[[route]]
name = "cancellable"
method = "GET"
path = "/cancellable"
cancel = true
lane = "one"
result = "scalar"
sql = "select pg_sleep(20)::text"
"#;
    let directory = TempDir::new();
    let mut command = pinion(&["serve", "--cores", "0", "--listen", "127.0.0.1:0"]);
    command.arg("--routes").arg(directory.routes(routes));
    command.args(["--database-url", &postgres.url(), "--log-format", "json"]);
    command.args(["--acquire-timeout", "150ms"]).args(flags);
    let server = Server::run(command, directory).ready();
    for (target, id) in [("/alone", "alone"), ("/batched/20", "batched")] {
        let answers = ask(&mut server.client(), &[(target, id.to_owned())]);
        assert_eq!(answers[0].status, 504, "{target}");
    }
    // One statement at a time: the second one has waited for the first, and was never sent.
    let both = ["first", "second"].map(|id| ("/cancellable", id.to_owned()));
    let answers = ask(&mut server.client(), &both);
    assert_eq!([answers[0].status, answers[1].status], [504, 503]);
    let log = stop(server);
    let lines = of_target(&log, "slow");
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in lines {
        let ms = |stage: &str| line[stage].as_f64().unwrap_or(-1.0);
        let id = line["request_id"].as_str().unwrap();
        let (with, of) = match id {
            "second" => ("wait_ms", "postgres_ms"),
            _ => ("postgres_ms", "wait_ms"),
        };
        assert!(ms(with) >= 140.0, "{id}: {line:?}");
        assert!(ms(of) >= 0.0 && ms(of) < ms(with), "{id}: {line:?}");
        assert!(ms("write_ms") < ms(with), "{id}: {line:?}");
    }
}

#[test]
fn a_second_is_slow_unless_it_is_said_otherwise() {
    let postgres = echo::postgres();
    let told = |flags: &[&str]| {
        let directory = TempDir::new();
        let routes = directory.routes(echo::ROUTES);
        let mut command = pinion(&["serve", "--cores", "0", "--listen", "127.0.0.1:0"]);
        command.arg("--routes").arg(routes);
        command.args(["--database-url", &postgres.url(), "--log-format", "json"]);
        command.args(["--statement-timeout", "5s"]).args(flags);
        command.env_remove("PINION_SLOW_LOG");
        let server = Server::run(command, directory).ready();
        let requests = [
            ("/slow/1.1", "slow".to_owned()),
            ("/slow/0.5", "swift".to_owned()),
        ];
        for request in requests {
            ask(&mut server.client(), &[request]);
        }
        let log = stop(server);
        ids(&of_target(&log, "slow")).join(" ")
    };
    assert_eq!(told(&[]), "slow");
    assert_eq!(told(&["--slow-log", "0s"]), "");
    assert_eq!(told(&["--log", "error,pinion::server=info"]), "");
}

#[test]
fn values_are_told_if_somebody_asks_for_them() {
    let postgres = echo::postgres();
    let routes = r#"
[[route]]
name = "post_slow"
method = "POST"
path = "/post/{kind}"
result = "one"
sql = "select :text::text as text from pg_sleep(0.2) where :kind <> :q"
[route.params]
text = { in = "body" }
q = { in = "query" }
"#;
    let flags = [
        "--log-format",
        "json",
        "--slow-log",
        "100ms",
        "--slow-log-params",
    ];
    let server = Server::start(routes, &postgres.url(), &flags).ready();
    let long = "x".repeat(5000);
    for text in ["hush\u{1b}[2J", &long] {
        let body = sonic_rs::to_string(&sonic_rs::json!({ "text": text })).expect("JSON");
        let answer = server.send("POST", "/post/a?q=1", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let log = stop(server);
    let lines = of_target(&log, "slow");
    assert_eq!(lines.len(), 2, "{log:?}");
    assert_eq!(lines[0]["path"].as_str(), Some("/post/a"));
    assert_eq!(lines[0]["query"].as_str(), Some("q=1"));
    assert!(
        lines[0]["body"]
            .as_str()
            .is_some_and(|body| body.contains("hush"))
    );
    let cut = lines[1]["body"].as_str().expect("a body");
    assert!(cut.ends_with("x…") && cut.len() < 1100, "{}", cut.len());
    // They are for the slow log alone.
    assert_eq!(of_target(&log, "access"), Vec::<&Value>::new());
}

#[test]
fn a_stall_of_everything_is_ten_lines_and_a_count() {
    let postgres = echo::postgres();
    let server = server(&postgres, &["--slow-log", "50ms", "--queue-target", "0s"]);
    // On the lane's four connections.
    let mut clients: Vec<_> = (0..25).map(|_| server.client()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.send("GET /slow/0.06 HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.response().status, 200);
        }
    }
    let log = stop(server);
    let lines = of_target(&log, "slow");
    let (single, counts): (Vec<&Value>, Vec<&Value>) = lines
        .iter()
        .partition(|line| line["message"].as_str() == Some("slow request"));
    let folded: u64 = counts
        .iter()
        .map(|line| line["requests"].as_u64().expect("how many"))
        .sum();
    assert_eq!(single.len() as u64 + folded, 75, "{lines:?}");
    assert!(folded > 0 && single.len() >= 10, "{lines:?}");
    for line in counts {
        assert_eq!(line["slowest_route"].as_str(), Some("slow"), "{line:?}");
        assert!(
            line["slowest_ms"].as_f64().is_some_and(|ms| ms >= 50.0),
            "{line:?}"
        );
    }
}

#[test]
fn a_fault_that_repeats_is_told_once_with_its_first_request_and_then_counted() {
    let postgres = echo::postgres();
    let mut server = server(&postgres, &[]);
    let ids = numbered("broken", 50);
    let requests: Vec<(&str, String)> = ids.iter().map(|id| ("/broken", id.clone())).collect();
    let answers = ask(&mut server.client(), &requests);
    assert!(answers.iter().all(|answer| answer.status == 500));
    server.signal(Signal::TERM);
    server.wait_for_line("\"stopped\"");
    let log: Vec<Value> = server.log().iter().map(|line| super::json(line)).collect();
    let errors: Vec<&Value> = log
        .iter()
        .filter(|line| line["level"].as_str() == Some("ERROR"))
        .collect();
    assert_eq!(errors.len(), 2, "{log:?}");
    assert_eq!(errors[0]["message"].as_str(), Some("statement failed"));
    assert_eq!(errors[0]["route"].as_str(), Some("broken"));
    let id = errors[0]["request_id"].as_str().expect("an id");
    assert!(ids.iter().any(|known| known == id), "{id}");
    assert_eq!(
        errors[1]["message"].as_str(),
        Some("statement failed again")
    );
    assert_eq!(errors[1]["again"].as_u64(), Some(49));
}
