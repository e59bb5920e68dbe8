//! What is claimed, in the SQL and in what a route requires.

use super::{
    TABLES, TempDir, bearer, challenges, claims, fixture, fixture_of, secret_file, signer,
};

const TYPED: &str = r#"
[[route]]
name = "typed"
method = "GET"
path = "/typed/{id}"
result = "one"
auth = "jwt"
sql = '''
select :id::int8 as id, :tenant::int8 as tenant, :roles::text[] as roles, :profile::jsonb as profile,
       :email::text as email, :plan::text as plan
'''
[route.params]
tenant = { in = "claim", ge = 1 }
roles = { in = "claim", name = "https://shop.example/roles" }
profile = { in = "claim" }
email = { in = "claim", nullable = true }
plan = { in = "claim", default = "free", max_length = 10 }
"#;

#[test]
fn values_bind_as_those_of_a_body_do() {
    let directory = TempDir::new();
    secret_file(&directory, super::SECRET);
    directory.file("api-keys", "");
    let fixture = fixture_of(directory, TABLES, TYPED);
    let ask = |id: &str, more: &str| {
        let token = signer().token(&claims(more));
        let response = fixture.with_token(&format!("/typed/{id}"), &token);
        (response.status, response.text().to_owned())
    };
    let full = r#","tenant":7,"https://shop.example/roles":["a","b\u0022"],"profile":{"x":[1,null]},"email":"a@b","plan":"pro""#;
    assert_eq!(
        ask("5", full),
        (
            200,
            r#"{"id":5,"tenant":7,"roles":["a","b\""],"profile":{"x": [1, null]},"email":"a@b","plan":"pro"}"#
                .to_owned()
        )
    );
    let least = r#","tenant":9007199254740993,"https://shop.example/roles":[],"profile":1"#;
    assert_eq!(
        ask("5", least),
        (
            200,
            r#"{"id":5,"tenant":9007199254740993,"roles":[],"profile":1,"email":null,"plan":"free"}"#
                .to_owned()
        )
    );
    let forbidden = r#"{"error":"Forbidden","code":403,"request_id":"same"}"#;
    for (what, more) in [
        (
            "missing",
            r#","https://shop.example/roles":[],"profile":1"#.to_owned(),
        ),
        ("null", least.replace("9007199254740993", "null")),
        ("another type", least.replace("9007199254740993", "true")),
        (
            "out of range",
            least.replace("9007199254740993", "99999999999999999999"),
        ),
        (
            "against a constraint",
            least.replace("9007199254740993", "0"),
        ),
        ("no array", least.replace("[]", "{}")),
        (
            "too long",
            format!("{least},\"plan\":\"a long, long plan\""),
        ),
        ("a NUL", format!("{least},\"email\":\"a\\u0000\"")),
        ("half a pair", format!("{least},\"email\":\"a\\ud800\"")),
    ] {
        assert_eq!(ask("5", &more), (403, forbidden.to_owned()), "{what}");
        // Whoever the route is not for is not told what is wrong with the request.
        assert_eq!(ask("x", &more), (403, forbidden.to_owned()), "{what}");
    }
    assert_eq!(ask("x", full).0, 422);
}

#[test]
fn what_is_required() {
    let fixture = fixture();
    let ask = |more: &str| fixture.with_token("/agents", &signer().token(&claims(more)));
    for more in [
        r#","role":"admin","tenant":7"#,
        r#","role":"agent","tenant":7"#,
        r#","role":["x","agent"],"tenant":[1,7]"#,
    ] {
        assert_eq!(ask(more).status, 200, "{more}");
    }
    let forbidden = r#"{"error":"Forbidden","code":403,"request_id":"same"}"#;
    for more in [
        "",
        r#","role":"admin""#,
        r#","tenant":7"#,
        r#","role":"user","tenant":7"#,
        r#","role":"admin","tenant":8"#,
        r#","role":"admin","tenant":"7""#,
        r#","role":"admin agent","tenant":7"#,
        r#","role":{"admin":true},"tenant":7"#,
        r#","role":[],"tenant":7"#,
    ] {
        let response = ask(more);
        assert_eq!(
            (response.status, response.text()),
            (403, forbidden),
            "{more}"
        );
        let expected = ["Bearer realm=\"api\", error=\"insufficient_scope\""];
        assert_eq!(challenges(&response), expected, "{more}");
    }
    let response = fixture.get("/agents", "x-api-key: first\r\n");
    assert_eq!((response.status, response.text()), (403, forbidden));
    assert!(challenges(&response).is_empty());
    let unknown = bearer("a.b.c");
    assert_eq!(fixture.get("/agents", &unknown).status, 401);
}

/// Requests of many identities that are gathered into batches: each gets the rows of its own claims.
#[test]
fn claims_are_not_mixed_up() {
    let fixture = fixture();
    let mut client = fixture.server.client();
    let tokens: Vec<String> = (0..30)
        .map(|number| signer().token(&claims(&format!(r#","sub":"s{number}""#))))
        .collect();
    for _ in 0..10 {
        for token in &tokens {
            client.send(format!(
                "GET /who HTTP/1.1\r\nHost: a\r\n{}\r\n",
                bearer(token)
            ));
        }
        for number in 0..tokens.len() {
            assert_eq!(
                client.response().text(),
                format!(r#"{{"sub":"s{number}"}}"#)
            );
        }
    }
}
