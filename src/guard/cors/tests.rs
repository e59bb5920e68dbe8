mod declared;

use super::*;
use crate::http::{Head, HeadLimits, Parsed};

const ALLOW: &str = "GET, HEAD, POST, OPTIONS";

const VARY: &str = "vary: origin\r\n";
const VARY_PREFLIGHT: &str =
    "vary: origin, access-control-request-method, access-control-request-headers\r\n";

fn settings(origins: &[&str]) -> Settings {
    let parse = |text: &&str| Origin::parse(text).unwrap();
    Settings {
        origins: match origins {
            ["*"] => Origins::Any,
            listed => Origins::Listed {
                origins: listed.iter().map(parse).collect(),
                credentials: false,
            },
        },
        methods: Methods::Declared,
        headers: Names::default(),
        exposed: Names::default(),
        max_age: None,
        private_network: false,
    }
}

fn names(any: bool, listed: &[&str]) -> Names {
    Names {
        any,
        listed: listed.iter().map(ToString::to_string).collect(),
    }
}

/// The verdict on a request for a path that has `allow`.
fn judged(cors: &Cors, method: &str, fields: &[(&str, &str)], allow: Option<&str>) -> Verdict {
    let mut text = format!("{method} /a HTTP/1.1\r\nHost: a\r\n");
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    let mut head = Head::default();
    let parsed = head.parse(text.as_bytes(), &HeadLimits::default());
    assert!(matches!(parsed, Ok(Parsed::Complete)), "{text}");
    let request = head.request(text.as_bytes());
    cors.verdict(&request, || allow.map(ToOwned::to_owned))
}

/// The lines of a response to a GET from an origin.
fn passed(cors: &Cors, origin: &str) -> String {
    match judged(cors, "GET", &[("Origin", origin)], Some(ALLOW)) {
        Verdict::Pass(lines) => String::from_utf8(lines.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The outcome of a preflight: lines, or the message of a refusal.
fn preflight(cors: &Cors, fields: &[(&str, &str)]) -> Result<String, &'static str> {
    match judged(cors, "OPTIONS", fields, Some(ALLOW)) {
        Verdict::Preflight(lines) => Ok(String::from_utf8(lines.to_vec()).unwrap()),
        Verdict::Refused(lines, message) => {
            assert_eq!(&*lines, VARY_PREFLIGHT.as_bytes());
            Err(message)
        }
        other => panic!("{other:?}"),
    }
}

const SHOP: (&str, &str) = ("origin", "https://shop.example");

/// The preflight of the shop's page for a method and fields.
fn asked(cors: &Cors, method: &str, headers: &str) -> Result<String, &'static str> {
    let fields = [
        SHOP,
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", headers),
    ];
    preflight(cors, &fields)
}

#[test]
fn an_answer_depends_on_its_origin_and_says_so() {
    let cors = Cors::new(&settings(&[
        "https://shop.example",
        "https://*.shop.example",
        "http://localhost:*",
    ]));
    for origin in [
        "https://shop.example",
        "https://a.shop.example",
        "http://localhost:3000",
        "http://localhost",
    ] {
        let expected = format!("access-control-allow-origin: {origin}\r\n{VARY}");
        assert_eq!(passed(&cors, origin), expected);
    }
    for origin in [
        "https://evil.example",
        "https://evilshop.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example/",
        "HTTPS://shop.example",
        "https://shop.example, https://a.shop.example",
        "https://shop.example https://a.shop.example",
        "null",
        "*",
        "",
    ] {
        assert_eq!(passed(&cors, origin), VARY, "{origin}");
    }
    let none = judged(&cors, "GET", &[], None);
    assert_eq!(none, Verdict::Pass(VARY.as_bytes().into()));
    assert_eq!(&*cors.without_request(), VARY.as_bytes());
}

#[test]
fn repeated_origins_are_none() {
    for origins in [&["https://shop.example"][..], &["*"]] {
        let cors = Cors::new(&settings(origins));
        let two = [SHOP, SHOP];
        let verdict = judged(&cors, "GET", &two, Some(ALLOW));
        assert_eq!(verdict, Verdict::Pass(VARY.as_bytes().into()));
        let two = [SHOP, SHOP, ("access-control-request-method", "GET")];
        assert_eq!(preflight(&cors, &two), Err("CORS: origin not allowed"));
    }
}

#[test]
fn everybody_is_everybody_with_an_origin() {
    let cors = Cors::new(&settings(&["*"]));
    let open = format!("access-control-allow-origin: *\r\n{VARY}");
    assert_eq!(passed(&cors, "https://anywhere.example:1"), open);
    let none = judged(&cors, "GET", &[], None);
    assert_eq!(none, Verdict::Pass(open.into_bytes().into()));
    for origin in ["null", "", "https://a.example, https://b.example"] {
        assert_eq!(passed(&cors, origin), VARY, "{origin}");
        let fields = [("origin", origin), ("access-control-request-method", "GET")];
        assert_eq!(preflight(&cors, &fields), Err("CORS: origin not allowed"));
    }
    assert_eq!(
        asked(&cors, "POST", ""),
        Ok(format!(
            "access-control-allow-origin: *\r\naccess-control-allow-methods: GET, HEAD, POST\r\n{VARY_PREFLIGHT}"
        ))
    );
}

#[test]
fn everything_that_is_declared_is_said() {
    let cors = Cors::new(&Settings {
        origins: Origins::Listed {
            origins: vec![Origin::parse("https://shop.example").unwrap()],
            credentials: true,
        },
        methods: Methods::Listed(vec![Method::Get, Method::Post]),
        headers: names(false, &["authorization", "content-type"]),
        exposed: names(false, &["x-request-id", "retry-after"]),
        max_age: Some(Duration::from_secs(600)),
        private_network: true,
    });
    assert_eq!(
        passed(&cors, "https://shop.example"),
        "access-control-allow-origin: https://shop.example\r\n\
         access-control-allow-credentials: true\r\n\
         access-control-expose-headers: x-request-id, retry-after\r\n\
         vary: origin\r\n"
    );
    assert_eq!(passed(&cors, "https://evil.example"), VARY);
    let expected = |private: &str| {
        format!(
            "access-control-allow-origin: https://shop.example\r\n\
             access-control-allow-methods: GET, POST\r\n\
             {private}\
             access-control-allow-credentials: true\r\n\
             access-control-allow-headers: authorization, content-type\r\n\
             access-control-max-age: 600\r\n\
             {},access-control-request-private-network\r\n",
            VARY_PREFLIGHT.trim_end()
        )
        .replace(
            ",access-control-request-private",
            ", access-control-request-private",
        )
    };
    let method = ("access-control-request-method", "POST");
    let headers = (
        "access-control-request-headers",
        "authorization,content-type",
    );
    let asked = |private: &str| {
        let private = ("access-control-request-private-network", private);
        match judged(
            &cors,
            "OPTIONS",
            &[SHOP, method, headers, private],
            Some(ALLOW),
        ) {
            Verdict::Preflight(lines) => String::from_utf8(lines.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let private = "access-control-allow-private-network: true\r\n";
    assert_eq!(asked("true"), expected(private));
    for not_asked in ["", "false", "True", "true, true"] {
        assert_eq!(asked(not_asked), expected(""));
    }
}

#[test]
fn a_private_network_is_opened_only_if_declared() {
    let cors = Cors::new(&settings(&["https://shop.example"]));
    let fields = [
        SHOP,
        ("access-control-request-method", "GET"),
        ("access-control-request-private-network", "true"),
    ];
    let lines = preflight(&cors, &fields).unwrap();
    assert!(!lines.contains("private-network"), "{lines}");
}

#[test]
fn methods_of_the_path_or_of_the_list() {
    let mut settings = settings(&["https://shop.example"]);
    let refused = Err("CORS: method not allowed");
    let said = |cors: &Cors, method: &str| {
        asked(cors, method, "").map(|lines| {
            let line = lines.lines().find(|line| line.contains("allow-methods"));
            line.unwrap().split_once(": ").unwrap().1.to_owned()
        })
    };
    let cors = Cors::new(&settings);
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(said(&cors, method), Ok("GET, HEAD, POST".to_owned()));
    }
    for method in [
        "DELETE",
        "OPTIONS",
        "TRACE",
        "get",
        "",
        "*",
        "GET, POST",
        "G T",
    ] {
        assert_eq!(said(&cors, method), refused, "{method}");
    }
    settings.methods = Methods::Listed(vec![Method::Get, Method::Delete]);
    let cors = Cors::new(&settings);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(said(&cors, method), Ok("GET, DELETE".to_owned()));
    }
    // A page may always send a simple POST; one that has to ask is told nothing that would let it.
    for method in ["POST", "PUT", "OPTIONS", "TRACE", "delete"] {
        assert_eq!(said(&cors, method), refused, "{method}");
    }
    settings.methods = Methods::Any;
    let cors = Cors::new(&settings);
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        assert_eq!(said(&cors, method), Ok("*".to_owned()));
    }
    for method in ["TRACE", "get", "*"] {
        assert_eq!(said(&cors, method), refused, "{method}");
    }
    let fields = [
        SHOP,
        ("access-control-request-method", "GET"),
        ("access-control-request-method", "GET"),
    ];
    assert_eq!(preflight(&cors, &fields), Err("CORS: method not allowed"));
}

#[test]
fn fields_of_the_list_whatever_their_case() {
    let mut settings = settings(&["https://shop.example"]);
    let refused = Err("CORS: header not allowed");
    let cors = Cors::new(&settings);
    let lines = asked(&cors, "GET", "").unwrap();
    assert!(!lines.contains("allow-headers"), "{lines}");
    assert_eq!(asked(&cors, "GET", "x-a"), refused);

    settings.headers = names(false, &["authorization", "x-a"]);
    let cors = Cors::new(&settings);
    for headers in [
        "",
        ",",
        "x-a",
        "X-A",
        "x-a,authorization",
        " ,x-a ,\t X-a,, ",
    ] {
        let lines = asked(&cors, "GET", headers).unwrap();
        assert!(lines.contains("access-control-allow-headers: authorization, x-a\r\n"));
    }
    for headers in [
        "x-b", "x-a,x-b", "x-a x-a", "x-a;", "*", "x", "x-aa", "\u{e9}",
    ] {
        assert_eq!(asked(&cors, "GET", headers), refused, "{headers}");
    }
    let method = ("access-control-request-method", "GET");
    let lines = ["x-a", "x-b"].map(|name| ("access-control-request-headers", name));
    let two = preflight(&cors, &[SHOP, method, lines[0], lines[1]]);
    assert_eq!(two, refused);

    settings.headers = names(true, &[]);
    let cors = Cors::new(&settings);
    let lines = asked(&cors, "GET", "x-a,x-b").unwrap();
    assert!(lines.contains("access-control-allow-headers: *\r\n"));
    assert_eq!(asked(&cors, "GET", "x-a,Authorization"), refused);
    settings.headers = names(true, &["authorization"]);
    let cors = Cors::new(&settings);
    let lines = asked(&cors, "GET", "x-a,Authorization").unwrap();
    assert!(lines.contains("access-control-allow-headers: *, authorization\r\n"));
}

#[test]
fn no_request_has_more_fields_than_a_request_may_have() {
    let mut settings = settings(&["https://shop.example"]);
    settings.headers = names(true, &[]);
    let cors = Cors::new(&settings);
    let most = ["x"; limits::HEADERS_MAX].join(",");
    assert!(asked(&cors, "GET", &most).is_ok());
    let more = most + ",x";
    assert_eq!(asked(&cors, "GET", &more), Err("CORS: header not allowed"));
}

#[test]
fn a_path_that_is_not_known_is_left_to_the_router() {
    let cors = Cors::new(&settings(&["https://shop.example"]));
    let fields = [SHOP, ("access-control-request-method", "GET")];
    let verdict = judged(&cors, "OPTIONS", &fields, None);
    assert_eq!(verdict, Verdict::Pass(VARY_PREFLIGHT.as_bytes().into()));
}

#[test]
fn what_is_no_preflight_is_a_request_like_others() {
    let cors = Cors::new(&settings(&["https://shop.example"]));
    let open = format!("access-control-allow-origin: https://shop.example\r\n{VARY}");
    let pass = |lines: &str| Verdict::Pass(lines.as_bytes().into());
    let method = ("access-control-request-method", "GET");
    let judged = |method, fields: &[_]| judged(&cors, method, fields, Some(ALLOW));
    assert_eq!(judged("OPTIONS", &[SHOP]), pass(&open));
    assert_eq!(judged("OPTIONS", &[method]), pass(VARY));
    assert_eq!(judged("GET", &[SHOP, method]), pass(&open));
    assert_eq!(judged("POST", &[SHOP, method]), pass(&open));
}

#[test]
fn the_lines_of_a_known_origin_are_made_once() {
    let cors = Cors::new(&settings(&["https://shop.example"]));
    let lines = |fields: &[_]| match judged(&cors, "GET", fields, None) {
        Verdict::Pass(lines) => lines,
        other => panic!("{other:?}"),
    };
    for fields in [&[SHOP][..], &[], &[("origin", "null")]] {
        assert!(std::rc::Rc::ptr_eq(&lines(fields), &lines(fields)));
    }
}
