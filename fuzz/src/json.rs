//! JSON bodies: read as serde_json reads them, member by member and as a whole; nested too deeply,
//! twice the same name, `\u0000` and halves of surrogate pairs are refused.

use std::sync::OnceLock;

use pinion::api::{self, BindFault, Bound, Input, Plan};
use pinion::limits::JSON_DEPTH_MAX;
use serde_json::Value;
use tokio_postgres::types::Type;

const ROUTES: &str = r#"
[[route]]
name = "members"
method = "POST"
path = "/members"
result = "exec"
sql = "select f(:text, :document)"
[route.params]
text = { in = "body", nullable = true }
document = { in = "body", nullable = true }

[[route]]
name = "whole"
method = "POST"
path = "/whole"
result = "exec"
sql = "select f(:body)"
[route.params]
body = { in = "body", whole = true, nullable = true }
"#;

/// All of it for one body.
pub fn check(body: &[u8]) {
    let [members, whole] = plans();
    let members = bind(members, body);
    let whole = bind(whole, body);
    if body.is_empty() {
        assert!(members.is_ok() && whole.is_ok());
        return;
    }
    let document = match serde_json::from_slice::<Value>(body) {
        Ok(document) => document,
        // Its numbers are those of an f64; ours are those of the type that they are for.
        Err(fault) if fault.to_string().contains("number out of range") => return,
        Err(fault) => {
            let malformed = |outcome: &Outcome| matches!(outcome, Err(BindFault::Malformed(_)));
            assert!(malformed(&members) && malformed(&whole), "{fault}");
            return;
        }
    };
    if depth(&document) > JSON_DEPTH_MAX {
        let deep = BindFault::Malformed("The JSON document is nested too deeply");
        assert_eq!(members, Err(deep.clone()));
        assert_eq!(whole, Err(deep));
        return;
    }
    let text = std::str::from_utf8(body).expect("serde_json takes UTF-8 only");
    as_a_whole(text, &document, whole);
    by_members(&document, members);
}

type Outcome = Result<Vec<Option<Vec<u8>>>, BindFault>;

fn plans() -> &'static [Plan; 2] {
    static PLANS: OnceLock<[Plan; 2]> = OnceLock::new();
    PLANS.get_or_init(|| {
        let api = api::load("routes.toml", ROUTES).expect("it is right");
        let plan = |route: usize, types: &[Type]| {
            let plan = api.routes[route].plan(&api, types, &[]);
            plan.expect("the types fit")
        };
        [plan(0, &[Type::TEXT, Type::JSONB]), plan(1, &[Type::JSONB])]
    })
}

fn bind(plan: &Plan, body: &[u8]) -> Outcome {
    let input = Input {
        captures: &[],
        query: None,
        header: &|_| None,
        content_type: Some(b"application/json"),
        body,
        claim: &|_| None,
    };
    let mut bound = Bound::default();
    plan.bind(&input, &mut bound)?;
    let values = (0..plan.params.len()).map(|index| bound.value(index).map(<[u8]>::to_vec));
    Ok(values.collect())
}

/// The whole document is sent as it was written, or is null, or is refused for a reason.
fn as_a_whole(text: &str, document: &Value, outcome: Outcome) {
    match outcome {
        Ok(values) => {
            assert!(!holds_nul(document));
            let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
            let expected = (!document.is_null()).then(|| [b"\x01", trimmed.as_bytes()].concat());
            assert_eq!(values, [expected]);
        }
        Err(BindFault::Invalid(details)) => match details[0].kind {
            // Not asked of serde_json, which keeps the last of two members with one name.
            "string_nul" => assert!(text.contains("\\u0000")),
            // A number that jsonb can't hold, such as 1e-99999: serde_json makes it 0.
            "json_invalid" => assert!(text.contains(['e', 'E'])),
            other => panic!("{other}"),
        },
        Err(fault) => panic!("{fault:?}"),
    }
}

fn by_members(document: &Value, outcome: Outcome) {
    let kinds = match outcome {
        Ok(values) => {
            let members = document
                .as_object()
                .expect("members are those of an object");
            let text = members.get("text").and_then(Value::as_str);
            assert_eq!(values[0].as_deref(), text.map(str::as_bytes));
            let null = members.get("document").is_none_or(Value::is_null);
            assert_eq!(values[1].is_none(), null);
            assert!(
                members
                    .keys()
                    .all(|name| name == "text" || name == "document")
            );
            return;
        }
        Err(BindFault::Invalid(details)) => details.into_iter().map(|detail| detail.kind),
        Err(fault) => panic!("{fault:?}"),
    };
    for kind in kinds {
        let members = document.as_object();
        let text = members.and_then(|members| members.get("text"));
        let document = members.and_then(|members| members.get("document"));
        let unknown = |members: &serde_json::Map<String, Value>| {
            members
                .keys()
                .any(|name| name != "text" && name != "document")
        };
        match kind {
            "dict_type" => assert!(members.is_none()),
            "extra_forbidden" => assert!(members.is_some_and(unknown)),
            // serde_json keeps the last of two, so that only their absence would show.
            "duplicate" => assert!(text.is_some() || document.is_some()),
            // One of two may be meant: then there is a "duplicate" too.
            "string_type" | "string_nul" | "json_invalid" => {
                assert!(text.is_some() || document.is_some());
            }
            other => panic!("{other}"),
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}
