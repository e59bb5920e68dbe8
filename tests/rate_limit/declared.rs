//! What may be declared.

use crate::support::{TempDir, ended, pinion};

const ROUTE: &str = r#"
[[route]]
name = "one"
method = "GET"
path = "/one"
result = "one"
sql = "select 1 as one"
"#;

/// The faults of a file with these tables, whose route has this line; nothing else is looked at.
fn faults(tables: &str, line: &str) -> String {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", &format!("{tables}{ROUTE}{line}\n"));
    let mut command = pinion(&[
        "check",
        "--database-url",
        "postgres://x@/y?host=/nonexistent",
    ]);
    command.arg("--routes").arg(file);
    let (code, out, err) = ended(command);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    err
}

/// A rule with further lines.
fn rule(lines: &str) -> String {
    format!("[rate_limit.default]\nrequests = 100\nper = \"1m\"\n{lines}\n")
}

/// What is left to complain of is that there is no such database.
fn is_fine(faults: &str) -> bool {
    faults.starts_with("error: no connection to Postgres")
}

#[test]
fn every_setting_and_its_bounds() {
    for lines in [
        "",
        "burst = 1",
        "burst = 100000",
        "key = \"ip\"",
        "key = \"route\"",
        "key = \"header:X-Api-Key\"",
        "store = \"local\"",
        "store = \"redis\"",
        "on_store_failure = \"allow\"",
        "on_store_failure = \"deny\"",
    ] {
        for line in ["", "rate_limit = \"default\""] {
            let faults = faults(&rule(lines), line);
            assert!(is_fine(&faults), "{lines} {line}: {faults}");
        }
    }
    // Of routes that ask who is there, which this one doesn't.
    assert!(is_fine(&faults(&rule("key = \"claim:sub\""), "")));
    for (requests, per, fine) in [
        ("1", "1s", true),
        ("1000000", "1s", true),
        ("1001002", "1s", false),
        ("1", "31d", true),
        ("1", "32d", false),
        ("0", "1s", false),
        ("-1", "1s", false),
        ("1000000000", "1d", true),
        ("1000000001", "31d", false),
        ("1", "0s", false),
        ("1", "1500ms", false),
        ("1", "2000ms", true),
        ("1", "1", false),
        ("1.5", "1s", false),
    ] {
        let table = format!("[rate_limit.a]\nrequests = {requests}\nper = \"{per}\"\n");
        let faults = faults(&table, "");
        assert_eq!(is_fine(&faults), fine, "{requests} {per}: {faults}");
        assert!(fine || faults.contains("routes.toml:"), "{faults}");
    }
}

#[test]
fn each_fault_says_where_it_is_and_how_to_mend_it() {
    for (tables, line, words) in [
        (rule("key = \"user\""), "", "4:7"),
        (rule("key = \"rout\""), "", "did you mean \"route\"?"),
        (
            rule("key = \"header\""),
            "",
            "\"key\" must be \"ip\", \"header:NAME\"",
        ),
        (
            rule("key = \"header:\""),
            "",
            "\"\" is no name of a header field",
        ),
        (
            rule("key = \"header:x y\""),
            "",
            "\"x y\" is no name of a header field",
        ),
        (rule("key = \"claim:\""), "", "\"key\" must be"),
        (
            rule("key = \"claim:sub\""),
            "rate_limit = \"default\"",
            "nobody is asked who they are here",
        ),
        (
            rule("store = \"memcached\""),
            "",
            "\"store\" must be \"local\" or \"redis\"",
        ),
        (
            rule("on_store_failure = \"alow\""),
            "",
            "did you mean \"allow\"?",
        ),
        (rule("bursts = 1"), "", "did you mean \"burst\"?"),
        (rule("burst = 0"), "", "\"burst\" must be 1 to"),
        (
            rule("burst = 100000000"),
            "",
            "takes more than 366 days to come back",
        ),
        (
            rule(""),
            "rate_limit = \"defualt\"",
            "did you mean \"default\"?",
        ),
        (
            rule(""),
            "rate_limit = \"other\"",
            "declare it: [rate_limit.other]",
        ),
        (
            rule(""),
            "rate_limit = 1",
            "\"rate_limit\" must be a string",
        ),
        (
            String::new(),
            "rate_limit = \"x\"",
            "there is no rate limit \"x\"",
        ),
        (
            "rate_limit = 100\n".to_owned(),
            "",
            "write [rate_limit.NAME]",
        ),
        (
            "[rate_limit.a-b]\nrequests = 1\nper = \"1s\"\n".to_owned(),
            "",
            "can't name a rate limit",
        ),
        (
            "[rate_limit.a]\nper = \"1s\"\n".to_owned(),
            "",
            "[rate_limit.a] has no \"requests\"",
        ),
        (
            "[rate_limit.a]\nrequests = 1\n".to_owned(),
            "",
            "[rate_limit.a] has no \"per\"",
        ),
        (
            "[rate_limits.a]\n".to_owned(),
            "",
            "did you mean \"rate_limit\"?",
        ),
    ] {
        let faults = faults(&tables, line);
        assert!(faults.contains(words), "{words} is not in\n{faults}");
        assert!(faults.contains("routes.toml:"), "{faults}");
        assert!(
            faults.contains("1 fault in") || !faults.contains("faults in"),
            "{faults}"
        );
    }
    // A rule with a fault is there all the same.
    let faults = faults(&rule("burst = 0"), "rate_limit = \"default\"");
    assert!(!faults.contains("there is no rate limit"), "{faults}");
}

#[test]
fn redis_has_to_be_somewhere() {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", &(rule("store = \"redis\"") + ROUTE));
    let mut command = pinion(&["serve", "--listen", "127.0.0.1:0", "--routes"]);
    command
        .arg(file)
        .args(["--database-url", "postgres://x@/y?host=/nonexistent"]);
    let (code, _, err) = ended(command);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("[rate_limit.default]: store = \"redis\" needs --redis-url"),
        "{err}"
    );
}

#[test]
fn steering_has_three_ways() {
    for wrong in ["none", "IP", ""] {
        let command = pinion(&["serve", "--routes", "x.toml", "--steer", wrong]);
        let (code, _, err) = ended(command);
        assert_eq!(code, Some(2));
        assert!(
            err.contains("--steer") && err.contains("hash, ip, cpu"),
            "{err}"
        );
    }
}
