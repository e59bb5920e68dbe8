use super::super::super::load;
use super::super::super::tests::listed;
use super::*;

/// A file with a `[cors]` table of these lines, from line 2 on.
fn file(lines: &str) -> String {
    let route = "[[route]]\nname = \"r\"\nmethod = \"GET\"\npath = \"/r\"\nresult = \"one\"\nsql = 'select 1'";
    format!("[cors]\n{lines}\n{route}\n")
}

fn read(lines: &str) -> Settings {
    let api = load("api.toml", &file(lines)).unwrap_or_else(|faults| panic!("{faults}"));
    api.guards.cors.expect("the table is there")
}

fn faults(lines: &str) -> Vec<String> {
    listed(&file(lines))
}

fn with_origin(line: &str) -> Vec<String> {
    faults(&format!("allow_origins = [\"https://a.example\"]\n{line}"))
}

#[test]
fn without_the_table_there_is_no_cors() {
    let text = file("").replace("[cors]\n", "");
    assert_eq!(load("api.toml", &text).unwrap().guards.cors, None);
}

#[test]
fn everything_is_read() {
    let read = read(
        r#"allow_origins = ["https://shop.example", "https://*.shop.example"]
allow_methods = ["GET", "POST"]
allow_headers = ["Authorization", "content-type"]
expose_headers = ["X-Request-ID"]
allow_credentials = true
max_age = "10m"
allow_private_network = true"#,
    );
    let origins = ["https://shop.example", "https://*.shop.example"];
    let names = |listed: &[&str]| Names {
        any: false,
        listed: listed.iter().map(ToString::to_string).collect(),
    };
    let expected = Settings {
        origins: Origins::Listed {
            origins: origins.map(|text| Origin::parse(text).unwrap()).into(),
            credentials: true,
        },
        methods: Methods::Listed(vec![Method::Get, Method::Post]),
        headers: names(&["authorization", "content-type"]),
        exposed: names(&["x-request-id"]),
        max_age: Some(Duration::from_secs(600)),
        private_network: true,
    };
    assert_eq!(read, expected);
}

#[test]
fn what_is_left_out_is_not_allowed() {
    let read = read("allow_origins = [\"*\"]");
    let expected = Settings {
        origins: Origins::Any,
        methods: Methods::Declared,
        headers: Names::default(),
        exposed: Names::default(),
        max_age: None,
        private_network: false,
    };
    assert_eq!(read, expected);
}

#[test]
fn stars_where_they_mean_all() {
    let read = read(
        "allow_origins = [\"*\"]\nallow_methods = [\"*\"]\n\
             allow_headers = [\"*\", \"Authorization\"]\nexpose_headers = [\"*\"]",
    );
    assert_eq!(read.methods, Methods::Any);
    assert_eq!(read.headers.listed, ["authorization"]);
    assert!(read.headers.any && read.exposed.any);
}

#[test]
fn stars_with_credentials_are_faults() {
    let help = "list what is allowed: browsers take \"*\" only for requests without credentials";
    assert_eq!(
        faults(
            "allow_origins = [\"*\"]\nallow_methods = [\"*\"]\nallow_headers = [\"*\"]\n\
                 expose_headers = [\"*\"]\nallow_credentials = true"
        ),
        [
            "2:18 \"*\" in \"allow_origins\"",
            "3:18 \"*\" in \"allow_methods\"",
            "4:18 \"*\" in \"allow_headers\"",
            "5:19 \"*\" in \"expose_headers\"",
        ]
        .map(|start| format!("{start} means nothing with allow_credentials | {help}"))
    );
}

#[test]
fn origins_have_to_be_there_and_to_be_origins() {
    let missing =
        "1:1 [cors] has no \"allow_origins\" | such as allow_origins = [\"https://shop.example\"]";
    assert_eq!(faults("max_age = \"1m\""), [missing]);
    assert_eq!(
        faults("allow_origins = []"),
        ["2:17 \"allow_origins\" lets nobody in | name one, or take [cors] out"]
    );
    assert_eq!(
        faults("allow_origins = \"https://a.example\""),
        [
            "2:17 \"allow_origins\" must be a list of strings, not a string | write [\"https://a.example\"]"
        ]
    );
    assert_eq!(
        faults("allow_origins = true"),
        ["2:17 \"allow_origins\" must be a list of strings, not a boolean"]
    );
    assert_eq!(
        faults(
            "allow_origins = [\n  \"https://a.example/\", 7,\n  \"https://b.example\", \"https://b.example\"\n]"
        ),
        [
            "3:3 an origin ends after its host and port | write \"https://a.example\"",
            "3:25 \"allow_origins\" must hold strings, not an integer",
            "4:24 this is in \"allow_origins\" already",
        ]
    );
    assert_eq!(
        faults("allow_origins = [\"*\", \"https://a.example\"]"),
        ["2:23 \"*\" allows this already | take one of the two out"]
    );
}

#[test]
fn methods_are_those_of_the_server() {
    let all = "\"GET\", \"HEAD\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\" or \"OPTIONS\"";
    assert_eq!(
        with_origin("allow_methods = [\"get\", \"TRACE\", \"PSOT\", \"POST\", \"POST\"]"),
        [
            format!("3:18 a method is {all} | did you mean \"GET\"?"),
            format!("3:25 a method is {all}"),
            format!("3:34 a method is {all} | did you mean \"POST\"?"),
            "3:50 this is in \"allow_methods\" already".to_owned(),
        ]
    );
    assert_eq!(
        with_origin("allow_methods = []"),
        [
            "3:17 \"allow_methods\" allows nothing | name one, or take it out: the methods of each path are allowed then"
        ]
    );
    assert_eq!(
        with_origin("allow_methods = [\"*\", \"GET\"]"),
        ["3:23 \"*\" allows this already | take one of the two out"]
    );
}

#[test]
fn names_are_names_of_fields() {
    for key in ["allow_headers", "expose_headers"] {
        let column = key.len() + 5;
        let name_fault = |column| {
            format!(
                "3:{column} this can't name a header field | letters, digits, and \"-\" or \"_\" between them"
            )
        };
        assert_eq!(
            with_origin(&format!(
                "{key} = [\"x a\", \"\", \"x:\", \"x\\r\\ny: z\", \"\u{e9}\"]"
            )),
            [0, 7, 11, 17, 30].map(|offset| name_fault(column + offset))
        );
        assert_eq!(
            with_origin(&format!("{key} = [\"x-a\", \"X-A\"]")),
            [format!(
                "3:{} this header field is listed already",
                column + 7
            )]
        );
        assert_eq!(
            with_origin(&format!("{key} = [\"*\", \"x-a\"]")),
            [format!(
                "3:{} \"*\" allows this already | take one of the two out",
                column + 5
            )]
        );
        assert!(
            load(
                "api.toml",
                &file(&format!("allow_origins = [\"*\"]\n{key} = []"))
            )
            .is_ok()
        );
    }
    assert_eq!(
        with_origin("expose_headers = [\"*\", \"authorization\"]"),
        ["3:24 \"*\" allows this already | take one of the two out"]
    );
}

#[test]
fn lists_have_bounds() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        let items: Vec<String> = (0..count)
            .map(|index| format!("\"{}\"", item(index)))
            .collect();
        format!("[{}]", items.join(", "))
    };
    let origin = |index| format!("https://a{index}.example");
    let name = |index| format!("x-{index}");
    let origins = |count| format!("allow_origins = {}", list(count, &origin));
    let names = |key, count| format!("allow_origins = [\"*\"]\n{key} = {}", list(count, &name));
    assert!(load("api.toml", &file(&origins(limits::CORS_ORIGINS_MAX))).is_ok());
    let found = faults(&origins(limits::CORS_ORIGINS_MAX + 1));
    assert!(
        found[0].ends_with("\"allow_origins\" holds 256 at the most"),
        "{found:?}"
    );
    for key in ["allow_headers", "expose_headers"] {
        assert!(load("api.toml", &file(&names(key, limits::CORS_NAMES_MAX))).is_ok());
        let found = faults(&names(key, limits::CORS_NAMES_MAX + 1));
        assert!(
            found[0].ends_with(&format!("\"{key}\" holds 100 at the most")),
            "{found:?}"
        );
    }
}

#[test]
fn ages_are_seconds_of_a_day() {
    let range = "\"max_age\" must be 0s to 24h, in whole seconds";
    for (age, seconds) in [("0s", 0), ("10m", 600), ("24h", 86400), ("2000ms", 2)] {
        let read = read(&format!("allow_origins = [\"*\"]\nmax_age = \"{age}\""));
        assert_eq!(read.max_age, Some(Duration::from_secs(seconds)));
    }
    assert_eq!(
        with_origin("max_age = \"500ms\""),
        [format!("3:11 {range}")]
    );
    assert_eq!(
        with_origin("max_age = \"86401s\""),
        [format!("3:11 {range} | no browser keeps it for longer")]
    );
    assert_eq!(
        with_origin("max_age = \"ten\""),
        ["3:11 \"max_age\": a duration is a whole number and a unit: us, ms, s, m or h"]
    );
    assert_eq!(
        with_origin("max_age = 600"),
        ["3:11 \"max_age\" must be a string, not an integer"]
    );
}

#[test]
fn other_faults() {
    assert_eq!(
        with_origin("allow_orgins = []\nallow_credentials = \"yes\"\nallow_private_network = 1"),
        [
            "3:1 unknown key \"allow_orgins\" in [cors] | did you mean \"allow_origins\"?",
            "4:21 \"allow_credentials\" must be true or false, not a string",
            "5:25 \"allow_private_network\" must be true or false, not an integer",
        ]
    );
    let text = file("").replace("[cors]\n", "cors = 7");
    assert_eq!(
        listed(&text)[0],
        "1:8 [cors] must be a table, not an integer"
    );
}
