use proptest::prelude::*;
use tokio_postgres::types::Type;

use super::super::load;
use super::*;
use crate::limits;

/// A route's plan: path `/r` or `/r/{…}`, its params table and the type of each parameter, by name.
fn plan(path: &str, params: &str, types: &[(&str, Type)]) -> Plan {
    let names: Vec<String> = types.iter().map(|(name, _)| format!(":{name}")).collect();
    let text = format!(
        "[[route]]\nname = \"r\"\nmethod = \"POST\"\npath = \"{path}\"\nresult = \"exec\"\nsql = \"select f({})\"\n[route.params]\n{params}\n",
        names.join(", ")
    );
    let api = load("api.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    let types: Vec<Type> = types.iter().map(|(_, ty)| ty.clone()).collect();
    match api.routes[0].plan(&api, &types, &[]) {
        Ok(plan) => plan,
        Err(faults) => panic!("{}", faults[0]),
    }
}

#[derive(Default, Clone, Copy)]
struct Request<'a> {
    captures: &'a [&'a str],
    query: Option<&'a str>,
    header: Option<(&'a str, &'a [u8])>,
    content_type: Option<&'a str>,
    body: &'a [u8],
}

fn bind(plan: &Plan, request: Request<'_>) -> Result<Vec<Option<Vec<u8>>>, BindFault> {
    let header = |name: &str| {
        request
            .header
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let input = Input {
        captures: request.captures,
        query: request.query,
        header: &header,
        content_type: request.content_type.map(str::as_bytes),
        body: request.body,
        claim: &|_| None,
    };
    let mut out = Bound {
        bytes: vec![7; 9],
        values: vec![None; 3],
        given: vec![true; 5],
    };
    plan.bind(&input, &mut out)?;
    Ok((0..plan.params.len())
        .map(|index| out.value(index).map(<[u8]>::to_vec))
        .collect())
}

fn path<'a>(capture: &'a &'a str) -> Request<'a> {
    Request {
        captures: std::slice::from_ref(capture),
        ..Request::default()
    }
}

fn query(query: &str) -> Request<'_> {
    Request {
        query: Some(query),
        ..Request::default()
    }
}

fn body(body: &str) -> Request<'_> {
    Request {
        content_type: Some("application/json"),
        body: body.as_bytes(),
        ..Request::default()
    }
}

/// The faults in short: `loc.loc type`.
fn invalid(plan: &Plan, request: Request<'_>) -> Vec<String> {
    match bind(plan, request) {
        Err(BindFault::Invalid(details)) => details
            .iter()
            .map(|detail| format!("{} {}", detail.loc.join("."), detail.kind))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn malformed(plan: &Plan, request: Request<'_>) -> &'static str {
    match bind(plan, request) {
        Err(BindFault::Malformed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn text(value: &str) -> Option<Vec<u8>> {
    Some(value.as_bytes().to_vec())
}

fn int4(value: i32) -> Option<Vec<u8>> {
    Some(value.to_be_bytes().to_vec())
}

#[test]
fn a_path_parameter() {
    let number = plan("/r/{id}", "", &[("id", Type::INT8)]);
    assert_eq!(
        bind(&number, path(&"7")),
        Ok(vec![Some(7i64.to_be_bytes().to_vec())])
    );
    assert_eq!(
        bind(&number, path(&"%37")),
        Ok(vec![Some(7i64.to_be_bytes().to_vec())])
    );
    assert_eq!(invalid(&number, path(&"x")), ["path.id int_parsing"]);
    assert_eq!(
        invalid(&number, path(&"9223372036854775808")),
        ["path.id int_parsing_size"]
    );
    let name = plan("/r/{id}", "", &[("id", Type::TEXT)]);
    assert_eq!(
        bind(&name, path(&"a%2Fb+c%20%C3%A9")),
        Ok(vec![text("a/b+c é")])
    );
    assert_eq!(invalid(&name, path(&"a%00b")), ["path.id string_nul"]);
    for bad in ["%", "%4", "%zz", "%%41", "a%2"] {
        assert_eq!(
            malformed(&name, path(&bad)),
            "The request target has a % that encodes nothing"
        );
    }
    assert_eq!(
        malformed(&name, path(&"%ff")),
        "The request target is not UTF-8"
    );
}

#[test]
fn the_same_name_twice_in_the_sql_is_one_parameter() {
    let plan = plan("/r/{b}/{a}", "", &[("a", Type::TEXT), ("b", Type::TEXT)]);
    let request = Request {
        captures: &["first", "second"],
        ..Request::default()
    };
    assert_eq!(
        bind(&plan, request),
        Ok(vec![text("second"), text("first")])
    );
}

#[test]
fn query_parameters() {
    let plan = plan(
        "/r",
        "q = { in = \"query\", min_length = 2, max_length = 3 }\nn = { in = \"query\", default = 50, ge = 1, le = 500 }\nz = { in = \"query\", nullable = true }",
        &[("q", Type::TEXT), ("n", Type::INT4), ("z", Type::DATE)],
    );
    assert_eq!(
        bind(&plan, query("q=ab")),
        Ok(vec![text("ab"), int4(50), None])
    );
    assert_eq!(
        bind(&plan, query("&q=a+b&&n=500&")),
        Ok(vec![text("a b"), int4(500), None])
    );
    assert_eq!(
        bind(&plan, query("%71=%2B%3D=&n=1")),
        Ok(vec![text("+=="), int4(1), None])
    );
    assert_eq!(
        bind(&plan, query("q=ab&z=2000-01-02")),
        Ok(vec![text("ab"), int4(50), int4(1)])
    );
    assert_eq!(
        invalid(&plan, query("q=a&n=0")),
        ["query.q string_too_short", "query.n greater_than_equal"]
    );
    assert_eq!(
        invalid(&plan, query("q=abcd&n=501")),
        ["query.q string_too_long", "query.n less_than_equal"]
    );
    assert_eq!(invalid(&plan, query("q")), ["query.q string_too_short"]);
    assert_eq!(
        invalid(&plan, query("Q=ab&x=1&=2&n=z")),
        [
            "query.Q extra_forbidden",
            "query.x extra_forbidden",
            "query. extra_forbidden",
            "query.n int_parsing",
            "query.q missing"
        ]
    );
    assert_eq!(invalid(&plan, query("q=ab&q=ab")), ["query.q duplicate"]);
    assert_eq!(invalid(&plan, Request::default()), ["query.q missing"]);
    assert_eq!(
        malformed(&plan, query("q=%")),
        "The request target has a % that encodes nothing"
    );
    assert_eq!(
        malformed(&plan, query("%ff=1")),
        "The request target is not UTF-8"
    );
}

#[test]
fn a_route_without_query_parameters_refuses_them_too() {
    let plan = plan("/r/{id}", "", &[("id", Type::TEXT)]);
    let with = |query| Request {
        captures: &["a"],
        query: Some(query),
        ..Request::default()
    };
    assert_eq!(invalid(&plan, with("x=1")), ["query.x extra_forbidden"]);
    assert_eq!(bind(&plan, with("")), Ok(vec![text("a")]));
    assert_eq!(bind(&plan, with("&")), Ok(vec![text("a")]));
}

#[test]
fn a_repeated_query_parameter_collects_into_an_array() {
    let plan = plan(
        "/r",
        "t = { in = \"query\", default = [\"x\"] }\nn = { in = \"query\", nullable = true }",
        &[("t", Type::TEXT_ARRAY), ("n", Type::INT4_ARRAY)],
    );
    let array = |oid: u32, items: &[&[u8]]| {
        let mut bytes: Vec<u8> = [1, 0, oid as i32, items.len() as i32, 1]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect();
        for item in items {
            bytes.extend((item.len() as i32).to_be_bytes());
            bytes.extend(*item);
        }
        Some(bytes)
    };
    assert_eq!(
        bind(&plan, query("t=a&n=1&t=b+c")),
        Ok(vec![
            array(25, &[b"a", b"b c"]),
            array(23, &[&[0, 0, 0, 1]])
        ])
    );
    assert_eq!(bind(&plan, query("")), Ok(vec![array(25, &[b"x"]), None]));
    assert_eq!(invalid(&plan, query("n=1&n=x")), ["query.n int_parsing"]);
}

#[test]
fn header_fields() {
    let plan = plan(
        "/r",
        "x_tenant = { in = \"header\" }\nk = { in = \"header\", name = \"If-Match\", nullable = true }",
        &[("x_tenant", Type::INT4), ("k", Type::TEXT)],
    );
    let with = |name, value| Request {
        header: Some((name, value)),
        ..Request::default()
    };
    assert_eq!(bind(&plan, with("X-TENANT", b"5")), Ok(vec![int4(5), None]));
    assert_eq!(
        invalid(&plan, with("if-match", b"5")),
        ["header.x-tenant missing"]
    );
    assert_eq!(
        invalid(&plan, with("x-tenant", b"\xff")),
        ["header.x-tenant string_unicode"]
    );
    assert_eq!(
        invalid(&plan, with("x-tenant", b"")),
        ["header.x-tenant int_parsing"]
    );
}

fn members() -> Plan {
    plan(
        "/r",
        "q = { in = \"body\", ge = 1, le = 10 }\nnote = { in = \"body\", nullable = true, max_length = 3 }\nkind = { in = \"body\", default = \"a\", enum = [\"a\", \"b\"] }\ndoc = { in = \"body\", nullable = true }",
        &[
            ("q", Type::NUMERIC),
            ("note", Type::TEXT),
            ("kind", Type::TEXT),
            ("doc", Type::JSONB),
        ],
    )
}

#[test]
fn members_of_a_body() {
    let plan = members();
    let bound = bind(
        &plan,
        body(" {\"q\": 1.0, \"note\": \"\\u00e9x\\n\", \"kind\":\"b\", \"doc\": {\"a\": [1]} }\n"),
    )
    .unwrap();
    assert_eq!(
        bound[1..],
        [text("éx\n"), text("b"), text("\u{1}{\"a\": [1]}")]
    );
    let bound = bind(&plan, body("{\"q\":10,\"note\":null,\"doc\":null}")).unwrap();
    assert_eq!(bound[1..], [None, text("a"), None]);
    assert!(bound[0].is_some());
    for (json, faults) in [
        ("{}", vec!["body.q missing"]),
        (
            "{\"q\":null,\"kind\":null}",
            vec!["body.q null_forbidden", "body.kind null_forbidden"],
        ),
        (
            "{\"q\":0.99999999999999999999}",
            vec!["body.q greater_than_equal"],
        ),
        (
            "{\"q\":\"10.00000000000000000001\"}",
            vec!["body.q less_than_equal"],
        ),
        ("{\"q\":true}", vec!["body.q decimal_type"]),
        (
            "{\"q\":1,\"note\":\"abcd\",\"kind\":\"c\"}",
            vec!["body.note string_too_long", "body.kind enum"],
        ),
        (
            "{\"q\":1,\"note\":\"\\u0000\"}",
            vec!["body.note string_nul"],
        ),
        (
            "{\"q\":1,\"doc\":{\"a\":\"\\u0000\"}}",
            vec!["body.doc string_nul"],
        ),
        (
            "{\"q\":1,\"doc\":1,\"x\":{},\"y\":null}",
            vec!["body.x extra_forbidden", "body.y extra_forbidden"],
        ),
        ("{\"q\":1,\"q\":2}", vec!["body.q duplicate"]),
        ("{\"q\":1,\"\\u0071\":2}", vec!["body.q duplicate"]),
        ("[]", vec!["body dict_type"]),
        ("null", vec!["body dict_type"]),
        ("\"{}\"", vec!["body dict_type"]),
    ] {
        assert_eq!(invalid(&plan, body(json)), faults, "{json}");
    }
    assert_eq!(invalid(&plan, Request::default()), ["body.q missing"]);
}

#[test]
fn what_is_not_json_is_malformed() {
    let plan = members();
    for json in [
        " ",
        "{",
        "}",
        "{\"q\":1",
        "{\"q\":1}}",
        "{\"q\":1} x",
        "{\"q\":1,}",
        "{,\"q\":1}",
        "{q:1}",
        "{'q':1}",
        "{\"q\":01}",
        "{\"q\":1.}",
        "{\"q\":.5}",
        "{\"q\":+1}",
        "{\"q\":-}",
        "{\"q\":1e}",
        "{\"q\":NaN}",
        "{\"q\":tru}",
        "{\"q\" 1}",
        "{\"q\":}",
        "{\"q\":1 \"note\":\"\"}",
        "{\"q\":[1,]}",
        "{\"note\":\"\t\"}",
        "{\"note\":\"\\x\"}",
        "{\"note\":\"\\u12\"}",
        "{\"note\":\"a}",
        "{\"doc\":[1}}",
        "{\"doc\":{\"a\":1]}",
        "{\"doc\":{\"a\"}}",
        "{\"doc\":[1 2]}",
        "\u{feff}{\"q\":1}",
        "/**/{\"q\":1}",
        "{\"q\":1}{\"q\":1}",
    ] {
        assert_eq!(
            malformed(&plan, body(json)),
            "The body is not valid JSON",
            "{json}"
        );
    }
    let request = Request {
        body: b"{\"note\":\"\xff\"}",
        ..body("")
    };
    assert_eq!(malformed(&plan, request), "The body is not UTF-8");
    assert_eq!(
        malformed(&plan, body("{\"note\":\"\\ud800\"}")),
        "The JSON document holds half a surrogate pair"
    );
    let nested = |depth: usize| {
        format!(
            "{{\"q\":1,\"doc\":{}{}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(bind(&plan, body(&nested(limits::JSON_DEPTH_MAX - 1))).is_ok());
    assert_eq!(
        malformed(&plan, body(&nested(limits::JSON_DEPTH_MAX))),
        "The JSON document is nested too deeply"
    );
    assert_eq!(
        malformed(&plan, body(&"[".repeat(1_000_000))),
        "The JSON document is nested too deeply"
    );
}

#[test]
fn media_types() {
    let plan = members();
    for (content_type, is_fine) in [
        (Some("application/json"), true),
        (Some("Application/JSON; charset=utf-8"), true),
        (Some("application/json ;x=y"), true),
        (Some("application/vnd.api+json"), true),
        (Some("application/+json"), false),
        (Some("application/jsonp"), false),
        (Some("application/"), false),
        (Some("text/json"), false),
        (Some("application/x-www-form-urlencoded"), false),
        (Some(""), false),
        (None, false),
    ] {
        let bound = bind(
            &plan,
            Request {
                content_type,
                ..body("{\"q\":1}")
            },
        );
        let expected = if is_fine {
            Ok(())
        } else {
            Err(BindFault::MediaType)
        };
        assert_eq!(bound.map(|_| ()), expected, "{content_type:?}");
    }
}

#[test]
fn the_whole_body() {
    let entry = |rest: &str| {
        plan(
            "/r",
            &format!("doc = {{ in = \"body\", whole = true{rest} }}"),
            &[("doc", Type::JSON)],
        )
    };
    let plan = entry("");
    for json in [
        "{\"a\": 1.50, \"a\": 2}",
        "[1, \"x\\n\"]",
        "\"x\"",
        "1e400",
        "true",
    ] {
        assert_eq!(
            bind(&plan, body(&format!(" {json}\n"))),
            Ok(vec![text(json)])
        );
    }
    assert_eq!(invalid(&plan, body("null")), ["body null_forbidden"]);
    assert_eq!(invalid(&plan, body("{\"\\u0000\":1}")), ["body string_nul"]);
    assert_eq!(invalid(&plan, Request::default()), ["body missing"]);
    assert_eq!(malformed(&plan, body("1 2")), "The body is not valid JSON");
    assert_eq!(
        bind(&entry(", nullable = true"), body(" null ")),
        Ok(vec![None])
    );
    assert_eq!(
        bind(&entry(", nullable = true"), Request::default()),
        Ok(vec![None])
    );
    assert_eq!(
        bind(&entry(", default = '{}'"), Request::default()),
        Ok(vec![text("{}")])
    );
}

#[test]
fn a_body_that_nothing_is_taken_from_is_not_looked_at() {
    let plan = plan("/r/{id}", "", &[("id", Type::TEXT)]);
    let request = Request {
        captures: &["a"],
        body: b"not json",
        ..Request::default()
    };
    assert_eq!(bind(&plan, request), Ok(vec![text("a")]));
}

#[test]
fn faults_of_all_places_come_together_and_never_hold_the_value() {
    let plan = plan(
        "/r/{id}",
        "q = { in = \"query\" }\nh = { in = \"header\" }\nb = { in = \"body\" }\nd = { in = \"query\", enum = [2024-01-01] }",
        &[
            ("id", Type::UUID),
            ("q", Type::BOOL),
            ("h", Type::FLOAT8),
            ("b", Type::TIMESTAMPTZ),
            ("d", Type::DATE),
        ],
    );
    let request = Request {
        captures: &["SECRET"],
        query: Some("q=SECRET&d=2024-01-02"),
        header: Some(("h", b"SECRET")),
        ..body("{\"b\":\"SECRET\"}")
    };
    let Err(BindFault::Invalid(details)) = bind(&plan, request) else {
        panic!("no fault")
    };
    let places: Vec<&str> = details
        .iter()
        .map(|detail| detail.loc[1].as_ref())
        .collect();
    assert_eq!(places, ["id", "q", "d", "h", "b"]);
    assert_eq!(details[2].msg, "Input should be '2024-01-01'");
    let mut out = Vec::new();
    Detail::write_all(&details, &mut out);
    assert!(!String::from_utf8(out).unwrap().contains("SECRET"));
}

#[test]
fn a_body_of_faults_has_a_bounded_answer() {
    let many: Vec<String> = (0..5_000)
        .map(|index| format!("\"x{index}\":{index}"))
        .collect();
    let faults = invalid(&members(), body(&format!("{{{}}}", many.join(","))));
    assert_eq!(faults.len(), limits::DETAILS_MAX);
}

#[test]
fn buffers_are_kept_from_request_to_request() {
    let plan = plan("/r/{id}", "", &[("id", Type::INT8)]);
    let input = Input {
        captures: &["12345"],
        query: None,
        header: &|_| None,
        content_type: None,
        body: b"",
        claim: &|_| None,
    };
    let mut out = Bound::default();
    plan.bind(&input, &mut out).unwrap();
    let before = (out.bytes.as_ptr(), out.values.as_ptr(), out.given.as_ptr());
    plan.bind(&input, &mut out).unwrap();
    assert_eq!(
        before,
        (out.bytes.as_ptr(), out.values.as_ptr(), out.given.as_ptr())
    );
    assert_eq!(out.value(0), Some(&12345i64.to_be_bytes()[..]));
}

proptest! {
    #[test]
    fn text_survives_percent_encoding(text in "\\PC{0,20}") {
        let plan = plan("/r", "q = { in = \"query\" }", &[("q", Type::TEXT)]);
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(bind(&plan, query(&format!("q={encoded}"))), Ok(vec![Some(text.into_bytes())]));
    }

    #[test]
    fn no_request_panics(path in "[a-z0-9%+]{1,8}", raw in "[a-z%=&+0-9]{0,30}", json in "[{}\\[\\]\"\\\\:,0-9a-zu.-]{0,40}") {
        let plan = plan("/r/{id}", "q = { in = \"query\", nullable = true }\ndoc = { in = \"body\" }", &[("id", Type::TEXT), ("q", Type::INT4), ("doc", Type::JSONB)]);
        let captures = [path.as_str()];
        let request = Request { captures: &captures, query: Some(&raw), ..body(&json) };
        let _ = bind(&plan, request);
    }
}

#[test]
fn requests_with_the_same_values_are_equal_however_they_are_written() {
    let plan = plan(
        "/r",
        "a = { in = \"query\", nullable = true }\nb = { in = \"query\", default = 2 }\n",
        &[("a", Type::TEXT), ("b", Type::INT4)],
    );
    let bound = |query| {
        let input = Input {
            captures: &[],
            query: Some(query),
            header: &|_| None,
            content_type: None,
            body: b"",
            claim: &|_| None,
        };
        let mut out = Bound::default();
        plan.bind(&input, &mut out).unwrap();
        out
    };
    let hash = |bound: &Bound| {
        let mut hasher = std::hash::DefaultHasher::new();
        bound.hash(&mut hasher);
        hasher.finish()
    };
    for (left, right, equal) in [
        ("a=x&b=2", "b=2&a=x", true),
        ("a=x", "b=2&a=x", true),
        ("", "b=2", true),
        ("a=", "", false),
        ("a=x", "a=y", false),
        ("a=x", "a=x&b=3", false),
    ] {
        let (left, right) = (bound(left), bound(right));
        assert_eq!(left == right, equal, "{left:?} {right:?}");
        assert_eq!(hash(&left) == hash(&right), equal, "{left:?} {right:?}");
    }
}
