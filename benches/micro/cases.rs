//! The cases. Each is prepared once and checks what it does before it is measured; its work is one
//! iteration. What the server keeps from request to request is kept here, what it makes anew is made
//! anew.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pinion::api::{BatchStatement, Bound, Found, Input, Method, Plan};
use pinion::guard::rate_limit::{Key, OnStoreFailure, Rate, Rule, Seed, Store, Table};
use pinion::guard::{Clock, Guards, Peer, Settings};
use pinion::http::{
    BodyDecoder, Envelope, Head, HeadLimits, JSON, Parsed, Persistence, Response, imf_fixdate,
};
use pinion::json::{Columns, write_string};
use pinion::limits;
use pinion::metrics::{Record, Recorder, Snapshot, Timing};
use tokio_postgres::types::Type;

use crate::shop::{self, AGENT, Column, PRODUCT, USER};

/// One iteration.
pub type Work = Box<dyn FnMut()>;

/// Something to be measured.
pub struct Case {
    pub name: &'static str,
    pub prepare: fn() -> Work,
}

const fn case(name: &'static str, prepare: fn() -> Work) -> Case {
    Case { name, prepare }
}

/// All, in the order in which a request meets them.
pub const CASES: &[Case] = &[
    case("parse/get", || parse(GET, b"")),
    case("parse/browser", || parse(BROWSER, b"")),
    case("parse/post", || parse(POST, b"{\"quantity\":1}")),
    case("route/static", || {
        route("/api/v1/agents", Some("list_agents"))
    }),
    case("route/capture", || route("/users/42", Some("get_user"))),
    case("route/miss", || route("/users/42/orders", None)),
    case("guard/plain", || guard(GET)),
    case("guard/browser", || guard(BROWSER)),
    case("guard/rate_limit", rate_limit),
    case("bind/path", bind_path),
    case("bind/query", bind_query),
    case("bind/body", bind_body),
    case("batch/1", || batch(1)),
    case("batch/32", || batch(32)),
    case("batch/128", || batch(128)),
    case("encode/user", || encode(&USER)),
    case("encode/product", || encode(&PRODUCT)),
    case("encode/agent", || encode(&AGENT)),
    case("encode/text", || string(PLAIN, PLAIN)),
    case("encode/text-escaped", || string(QUOTED, QUOTED_JSON)),
    case("write/response", response),
    case("record/answer", || record(1)),
    case("record/pass", || record(32)),
];

/// What wrk sends.
const GET: &[u8] = b"GET /users/42 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const BROWSER: &[u8] = b"GET /products?category=books&limit=50 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Referer: https://shop.example.com/books\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\r\n";

const POST: &[u8] = b"POST /inventory/SKU-00042/reserve HTTP/1.1\r\n\
    Host: 127.0.0.1:8080\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 14\r\n\r\n{\"quantity\":1}";

/// A head and, where there is one, its body.
fn parse(input: &'static [u8], body: &'static [u8]) -> Work {
    let mut head = Head::new();
    let limits = HeadLimits::default();
    let mut work = move || {
        head.reset();
        let parsed = head.parse(black_box(input), &limits);
        let mut bytes = Vec::new();
        if !body.is_empty() {
            let decoder = BodyDecoder::new(head.framing(), limits::BODY_BYTES_MAX);
            let mut decoder = decoder.expect("the body is short");
            let progress = decoder.decode(&input[head.len()..], &mut bytes);
            black_box(progress).expect("the body is well framed");
        }
        black_box(&head);
        (parsed, black_box(bytes))
    };
    assert_eq!(work(), (Ok(Parsed::Complete), body.to_vec()));
    Box::new(move || drop(work()))
}

/// A GET of a path, and the name of the route that answers it.
fn route(path: &'static str, name: Option<&str>) -> Work {
    let api = shop::load();
    match api.router.find(Some(Method::Get), path) {
        Found::Route { index, .. } => assert_eq!(Some(&*api.routes[index].name), name),
        _ => assert_eq!(name, None),
    }
    Box::new(move || {
        black_box(api.router.find(Some(Method::Get), black_box(path)));
    })
}

/// What every request goes through, and what it adds to its response.
fn guard(input: &'static [u8]) -> Work {
    let mut head = Head::new();
    let parsed = head.parse(input, &HeadLimits::default());
    assert_eq!(parsed, Ok(Parsed::Complete));
    let guards = Guards::new(&Settings::default());
    let clock = Clock {
        now: Instant::now(),
        wall: Duration::from_millis(1_766_893_001_958),
    };
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let request = black_box(&head).request(black_box(input));
        let mut visit = guards.begin(&request, Peer::default(), clock);
        visit.trail.end(clock.now);
        visit.trail.append(&mut out);
        black_box(&out);
    })
}

/// Answers of one pass that Postgres was asked for together.
fn record(count: usize) -> Work {
    let names = Snapshot::names(["get_user"].into_iter());
    let recorder = Recorder::new(0, names, limits::BATCH_KEYS_MAX);
    let first = Instant::now();
    let after = move |micros| first + Duration::from_micros(micros);
    let mut next = 0;
    Box::new(move || {
        next = (next + 1) % 1000;
        let timing = Timing {
            first,
            whole: after(black_box(next)),
            asked: Some((after(2 * next), after(2 * next + 300))),
        };
        for _ in 0..count {
            recorder.written(black_box(Record {
                route: Some(0),
                status: 200,
                timing,
            }));
        }
        recorder.handed(after(2 * next + 340));
    })
}

/// One of a hundred thousand clients, decided on by its core and told.
fn rate_limit() -> Work {
    let per = Duration::from_secs(3600);
    let rate = Rate::new(1000, per, 1000).expect("a rate");
    let (store, failure) = (Store::Local, OnStoreFailure::Allow);
    let rule = Rule::new("default", (1000, per), rate, Key::Ip, store, failure);
    let (seed, mut table, mut out) = (Seed::default(), Table::default(), Vec::new());
    let mut next = 0u32;
    Box::new(move || {
        out.clear();
        next = (next + 1) % 100_000;
        let address = IpAddr::from(black_box(next).to_be_bytes());
        let client = rule.client("route", Some(address), |_| None, |_| None);
        let key = seed.key(0, &client);
        let decision = table.decide(key, 1, &rule.rate, rule.when_full());
        rule.append_fields(&decision.expect("it evicts"), &mut out);
        black_box(&out);
    })
}

fn bind_path() -> Work {
    let input = Input {
        captures: &["42"],
        ..NOTHING
    };
    bind(shop::plan("get_user", &[Type::INT8], &USER), input)
}

fn bind_query() -> Work {
    let params = [
        Type::INT8,
        Type::TEXT,
        Type::NUMERIC,
        Type::NUMERIC,
        Type::INT8,
    ];
    let input = Input {
        query: Some("category=books&min_price=9.99&max_price=150&limit=20"),
        ..NOTHING
    };
    bind(shop::plan("list_products", &params, &PRODUCT), input)
}

fn bind_body() -> Work {
    let columns = [("message_id", Type::INT8, "1")];
    let params = [Type::TEXT, Type::TEXT, Type::JSONB, Type::UUID];
    let input = Input {
        captures: &["00000000-0000-4000-8000-000000000004"],
        content_type: Some(b"application/json"),
        body: br#"{"role": "user", "content": "Where is my order?\nIt was \"sent\" last week.", "metadata": {"client": "web", "turn": 3}}"#,
        ..NOTHING
    };
    bind(shop::plan("create_message", &params, &columns), input)
}

const NOTHING: Input<'static> = Input {
    captures: &[],
    query: None,
    header: &|_| None,
    content_type: None,
    body: b"",
    claim: &|_| None,
};

fn bind(plan: Plan, input: Input<'static>) -> Work {
    let work = move || {
        let mut bound = Bound::default();
        let outcome = plan.bind(black_box(&input), &mut bound);
        black_box(bound);
        outcome
    };
    assert_eq!(work(), Ok(()));
    Box::new(move || drop(work()))
}

/// The parameters of a batch of look-ups.
fn batch(keys: usize) -> Work {
    let api = shop::load();
    let route = shop::route(&api, "get_user");
    let plan = shop::plan("get_user", &[Type::INT8], &USER);
    let statement = BatchStatement::of(route, &[Type::INT8], &shop::names_and_types(&USER));
    let Ok(BatchStatement::Keyed(keyed)) = statement else {
        panic!("{statement:?}");
    };
    let bound: Vec<Bound> = (0..keys).map(|key| shop::bound_user(&plan, key)).collect();
    let mut out = Vec::new();
    let mut work = move || {
        out.clear();
        let members: Vec<&Bound> = black_box(&bound).iter().collect();
        let appended = keyed.append_parameters(&members, &mut out);
        black_box(&out);
        appended.map(|()| out.len())
    };
    // Length, head of the array, and each key's length and eight bytes.
    assert_eq!(work(), Ok(4 + 20 + keys * 12));
    Box::new(move || {
        let _ = work();
    })
}

fn encode(columns: &[Column<'_>]) -> Work {
    let resolved = Columns::resolve(&shop::names_and_types(columns));
    let resolved = resolved.expect("the types are supported");
    let row = shop::row(columns);
    let encode = move |out: &mut Vec<u8>| {
        let values = black_box(&row).iter().map(|value| Some(&**value));
        let encoded = resolved.encode_object(values, out);
        black_box(encoded).expect("the row is of the types");
    };
    let mut out = Vec::new();
    encode(&mut out);
    assert_eq!(out, shop::object(columns).as_bytes());
    Box::new(move || {
        out.clear();
        encode(&mut out);
        black_box(&out);
    })
}

/// As long as a product's description, with nothing to escape.
const PLAIN: &str = "A notebook of 192 pages, thread-bound, with a ribbon and a pocket inside the back cover, for all who like to write by hand.";
const QUOTED: &str = "A \"notebook\" of 192 pages:\n\t- thread-bound\n\t- with a ribbon\n\t- \\o/ and a pocket inside the \"back\" cover,\nfor all who write.";
const QUOTED_JSON: &str = r#"A \"notebook\" of 192 pages:\n\t- thread-bound\n\t- with a ribbon\n\t- \\o/ and a pocket inside the \"back\" cover,\nfor all who write."#;

fn string(text: &'static str, json: &str) -> Work {
    let mut out = Vec::new();
    write_string(text, &mut out);
    assert_eq!(out, format!("\"{json}\"").as_bytes());
    Box::new(move || {
        out.clear();
        write_string(black_box(text), &mut out);
        black_box(&out);
    })
}

fn response() -> Work {
    let date = imf_fixdate(784_111_777);
    let body = shop::object(&USER);
    let write = move |out: &mut Vec<u8>| {
        let envelope = Envelope {
            date: &date,
            persistence: Persistence::Implied,
            head_only: false,
        };
        let response = Response {
            status: 200,
            content_type: JSON,
            fields: &[],
            body: body.as_bytes(),
        };
        black_box(response).write(black_box(&envelope), |_| (), out);
    };
    let mut out = Vec::new();
    write(&mut out);
    assert!(out.ends_with(shop::object(&USER).as_bytes()));
    Box::new(move || {
        out.clear();
        write(&mut out);
        black_box(&out);
    })
}
