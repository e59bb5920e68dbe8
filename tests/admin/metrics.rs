use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Client, Postgres, Response, TempDir, wait_until};
use crate::traffic::{Traffic, get, shop};

/// Series and their values.
type Samples = BTreeMap<String, f64>;

fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    let all: Vec<(String, f64)> = lines.map(sample).collect();
    let count = all.len();
    let samples: Samples = all.into_iter().collect();
    assert_eq!(samples.len(), count, "each series is told once");
    samples
}

/// As Prometheus asks.
fn openmetrics(admin: SocketAddr) -> Response {
    let mut client = Client::connect(admin);
    client.send(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0,\
         text/plain;version=0.0.4;q=0.5\r\n\r\n",
    );
    client.response()
}

/// Whether a series is one that never falls.
fn is_cumulative(series: &str) -> bool {
    let name = series.split('{').next().expect("a name");
    ["_total", "_bucket", "_count", "_sum"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

#[test]
fn promtool_has_nothing_to_say_against_them() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let _traffic = Traffic::start(server.address, 4);
    wait_until("batches were counted", || {
        get(admin, "/metrics")
            .text()
            .contains("pinion_batch_size_count{route=\"get_user\"}")
    });
    let text = get(admin, "/metrics").text().to_owned();
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (of Debian's package prometheus)");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("promtool listens");
    drop(input);
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_request_is_counted_once_and_nothing_falls() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let traffic = Traffic::start(server.address, 8);
    let mut last = Samples::new();
    for _ in 0..12 {
        let now = samples(get(admin, "/metrics").text());
        for (series, value) in last.iter().filter(|(series, _)| is_cumulative(series)) {
            let new = now
                .get(series)
                .unwrap_or_else(|| panic!("{series} is gone"));
            assert!(new >= value, "{series} fell from {value} to {new}");
        }
        last = now;
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    let users = traffic.end() as f64;
    let route = "route=\"get_user\"";
    let answered = |samples: &Samples| {
        let of = |status| {
            let series = format!("pinion_requests_total{{{route},status=\"{status}\"}}");
            samples.get(&series).copied().unwrap_or_default()
        };
        of(200) + of(404)
    };
    wait_until("all are told of", || {
        answered(&samples(get(admin, "/metrics").text())) >= users
    });
    let samples = samples(get(admin, "/metrics").text());
    assert_eq!(answered(&samples), users);
    for series in [
        format!("pinion_request_duration_seconds_count{{{route}}}"),
        format!("pinion_request_duration_seconds_bucket{{le=\"+Inf\",{route}}}"),
        format!("pinion_stage_duration_seconds_count{{{route},stage=\"postgres\"}}"),
        format!("pinion_stage_duration_seconds_count{{{route},stage=\"wait\"}}"),
        format!("pinion_batch_size_sum{{{route}}}"),
    ] {
        assert_eq!(samples[&series], users, "{series}");
    }
    // Its parts make up the time of a request.
    let sum = |name: &str, stage: &str| {
        samples[&format!("pinion_{name}_duration_seconds_sum{{{route}{stage}}}")]
    };
    let parts = ["read", "wait", "postgres", "write"];
    let parts: f64 = parts
        .iter()
        .map(|part| sum("stage", &format!(",stage=\"{part}\"")))
        .sum();
    let total = sum("request", "");
    assert!((parts / total - 1.0).abs() < 0.05, "{parts} of {total}");
    assert!(samples["pinion_connections_accepted_total{core=\"0\"}"] >= 1.0);
    assert!(samples["pinion_received_bytes_total"] > 100.0 * users);
}

#[test]
fn both_formats_are_spoken_and_tell_the_same() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    assert_eq!(server.get("/users/1").status, 200);
    // What has not happened yet is told as 0.
    let counted = "pinion_requests_total{route=\"get_user\",status=\"200\"} 1\n";
    wait_until("it was counted", || {
        get(admin, "/metrics").text().contains(counted)
    });
    let modern = openmetrics(admin);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(modern.field("content-type"), Some(kind));
    assert_eq!(modern.field("vary"), Some("accept"));
    assert!(modern.text().ends_with("\n# EOF\n"));
    let series =
        |answer: Response| -> BTreeSet<String> { samples(answer.text()).into_keys().collect() };
    // The other core may be heard between the two.
    wait_until("both tell the same", || {
        series(openmetrics(admin)) == series(get(admin, "/metrics"))
    });
}

// ---- Prometheus, the dashboard and the alerts ----

/// A Prometheus that scrapes an admin port each second, ended on drop.
struct Prometheus {
    child: Child,
    url: String,
    _directory: TempDir,
}

impl Prometheus {
    fn start(admin: SocketAddr) -> Prometheus {
        let directory = TempDir::new();
        let alerts = self::directory().join("alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [ '{}' ]\n\
             scrape_configs:\n- job_name: pinion\n  static_configs: [ {{ targets: [ '{admin}' ] }} ]\n",
            alerts.display()
        );
        let config = directory.file("prometheus.yml", &config);
        // It does not tell which port it was given for 0.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("its address");
        drop(port);
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus (of Debian's package of that name)");
        Prometheus {
            child,
            url: format!("http://{address}"),
            _directory: directory,
        }
    }

    /// What an expression gives, a series a line; or what is wrong with it.
    fn query(&self, expression: &str) -> Result<String, String> {
        let output = Command::new("promtool")
            .args(["query", "instant", &self.url, expression])
            .output()
            .expect("promtool");
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The expressions of the dashboard, with what Grafana would put in the place of its variables.
fn dashboard_expressions() -> Vec<String> {
    let text = std::fs::read_to_string(directory().join("grafana.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let expression = |target: &Value| {
        let expression = target["expr"].as_str().expect("an expression");
        expression
            .replace("$__rate_interval", "1m")
            .replace("$instance", ".*")
    };
    targets.map(expression).collect()
}

/// The expressions of the alerts, each with its name: `promtool` has checked the form of the file.
fn alerts() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(directory().join("alerts.yml")).expect("the alerts");
    let mut found = Vec::new();
    let mut name = None;
    for line in text.lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            name = Some(alert.to_owned());
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            let name = name
                .take()
                .expect("an alert has one expression, in a line, after its name");
            found.push((name, expression.to_owned()));
        }
    }
    assert!(name.is_none());
    found
}

/// Names of metrics of this program in an expression.
fn names(expression: &str) -> BTreeSet<&str> {
    let words =
        expression.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words
        .filter(|word| word.starts_with("pinion_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn prometheus_takes_them_and_every_panel_and_alert_finds_what_it_asks_for() {
    let checked = Command::new("promtool")
        .args(["check", "rules"])
        .arg(directory().join("alerts.yml"))
        .output()
        .expect("promtool");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );

    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let _traffic = Traffic::start(server.address, 4);
    let prometheus = Prometheus::start(admin);
    wait_until("it is scraped", || {
        prometheus
            .query("up{job=\"pinion\"} == 1")
            .is_ok_and(|found| !found.is_empty())
    });
    // A rate is one of two scrapes.
    wait_until("there is a rate", || {
        let rate = "rate(pinion_batch_size_count{route=\"get_user\"}[1m]) > 0";
        prometheus.query(rate).is_ok_and(|found| !found.is_empty())
    });
    let exposed = samples(get(admin, "/metrics").text());
    let exposed: BTreeSet<&str> = exposed
        .keys()
        .filter_map(|series| series.split('{').next())
        .collect();
    let (panels, alerts) = (dashboard_expressions(), alerts());
    assert!(panels.len() > 20 && alerts.len() > 10);
    let mut used = BTreeSet::new();
    for expression in panels
        .iter()
        .chain(alerts.iter().map(|(_, expression)| expression))
    {
        for name in names(expression) {
            assert!(
                exposed.contains(name),
                "{name} of {expression} is not exposed"
            );
            used.insert(name);
        }
    }
    for expression in &panels {
        match prometheus.query(expression) {
            Ok(found) => assert!(!found.is_empty(), "nothing is drawn of {expression}"),
            Err(fault) => panic!("{expression}: {fault}"),
        }
    }
    for (name, expression) in &alerts {
        match prometheus.query(expression) {
            Ok(found) => assert_eq!(found, "", "{name} fires on a server that is well"),
            Err(fault) => panic!("{name}: {fault}"),
        }
        // What is compared is there: labels that don't match would make an alert that never fires.
        let compared = [" > ", " == "]
            .iter()
            .find_map(|sign| expression.rsplit_once(sign));
        let (measured, _) = compared.unwrap_or_else(|| panic!("{name} compares nothing"));
        // Nothing fails here.
        let measured = measured.replace("5..", "2..");
        let found = prometheus.query(&measured);
        assert!(
            found.is_ok_and(|found| !found.is_empty()),
            "{name}: nothing in {measured}"
        );
    }
    // What is counted is shown somewhere.
    let family = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name)
            .to_owned()
    };
    let used: BTreeSet<String> = used.into_iter().map(family).collect();
    let unused: Vec<String> = exposed
        .into_iter()
        .map(family)
        .filter(|name| !used.contains(name))
        .collect();
    assert!(unused.is_empty(), "no panel and no alert shows {unused:?}");
}
