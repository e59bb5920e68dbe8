//! `[auth]`, and what routes say of it: what is taken, and every fault with its place.

use std::path::Path;

use super::super::{Api, load};
use super::*;
use crate::guard::auth::jwt::Source;
use crate::limits;
use jsonwebtoken::Algorithm;

const AUTH: &str = "[auth]\ndatabase_roles = [\"agent\", \"reader\"]\n\
    [auth.jwt]\nalgorithms = [\"ES256\"]\njwks_url = \"https://id.example/keys\"\n\
    [auth.api_key]\nhashes_file = \"/etc/keys\"\n";

const ROUTE: &str = "[[route]]\nname = \"a\"\nmethod = \"GET\"\npath = \"/a\"\nresult = \"one\"\n\
    sql = \"select 1 as one\"\n";

fn api(tables: &str, route: &str) -> Api {
    let text = format!("{tables}{ROUTE}{route}\n");
    load("/etc/pinion/routes.toml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

#[track_caller]
fn fault(text: &str, words: &str) {
    let found = load("r.toml", text).expect_err(text).to_string();
    assert!(found.contains(words), "{found}");
    assert!(found.contains("r.toml:"), "{found}");
}

#[test]
fn everything_that_can_be_said() {
    let api = api(
        "[auth.jwt]\nalgorithms = [\"RS256\", \"PS512\", \"EdDSA\"]\npublic_key_file = \"keys.pem\"\n\
         issuer = \"https://id.example\"\naudience = [\"shop\", \"till\"]\nleeway = \"1m\"\n\
         [auth.api_key]\nheader = \"X-Key\"\nhashes_file = \"/srv/keys\"\n\
         [auth]\ndatabase_roles = [\"agent\"]\n",
        "auth = [\"api_key\", \"jwt\"]\ndatabase_role = \"claim:role\"\n\
         require = { role = [\"admin\", 5], verified = true }",
    );
    let auth = &api.guards.auth;
    let jwt = auth.jwt.as_ref().unwrap();
    assert_eq!(
        jwt.algorithms,
        [Algorithm::RS256, Algorithm::PS512, Algorithm::EdDSA]
    );
    assert_eq!(
        jwt.source,
        Source::PublicKeyFile("/etc/pinion/keys.pem".into())
    );
    assert_eq!(jwt.issuer.as_deref(), Some("https://id.example"));
    assert_eq!(jwt.audience, ["shop", "till"]);
    assert_eq!(jwt.leeway, 60);
    let api_key = auth.api_key.as_ref().unwrap();
    assert_eq!(api_key.header, "x-key");
    assert_eq!(api_key.hashes_file, Path::new("/srv/keys"));
    assert_eq!(auth.database_roles, ["agent"]);
    let route = &api.routes[0];
    assert_eq!(route.auth.schemes, [Scheme::ApiKey, Scheme::Jwt]);
    assert_eq!(
        route.database_role,
        Some(DatabaseRole::Claim("role".to_owned()))
    );
    let requires = |claim: &str| {
        let found = route.auth.require.iter().find(|one| *one.claim == *claim);
        found.unwrap().values.clone()
    };
    assert_eq!(
        requires("role"),
        [Wanted::Text("admin".into()), Wanted::Integer(5)]
    );
    assert_eq!(requires("verified"), [Wanted::Boolean(true)]);
}

#[test]
fn what_is_not_said() {
    let open = api("", "");
    assert_eq!(open.guards.auth, Default::default());
    assert!(!open.routes[0].auth.is_asked_for());
    assert!(!api(AUTH, "auth = \"none\"").routes[0].auth.is_asked_for());
    let api = api(AUTH, "auth = \"jwt\"\ndatabase_role = \"reader\"");
    let jwt = api.guards.auth.jwt.as_ref().unwrap();
    assert_eq!(jwt.leeway, limits::TOKEN_LEEWAY.as_secs());
    assert_eq!((&jwt.issuer, jwt.audience.len()), (&None, 0));
    assert_eq!(
        api.guards.auth.api_key.as_ref().unwrap().header,
        "x-api-key"
    );
    let role = api.routes[0].database_role.clone();
    assert_eq!(role, Some(DatabaseRole::Fixed("reader".to_owned())));
}

#[test]
fn urls() {
    let of = |url: &str| AUTH.replace("https://id.example/keys", url) + ROUTE;
    for good in [
        "https://id.example",
        "https://id.example:8443/a?b=c",
        "http://127.0.0.1:8080/keys",
        "http://127.9.9.9/keys",
        "http://[::1]:8080/keys",
        "http://localhost/keys",
    ] {
        assert!(load("r.toml", &of(good)).is_ok(), "{good}");
    }
    for (bad, words) in [
        ("http://id.example/keys", "can be anybody's"),
        ("http://localhost.evil.example/", "can be anybody's"),
        ("http://10.0.0.1/", "can be anybody's"),
        ("https://user:word@id.example/", "must not hold a password"),
        ("file:///etc/keys", "must be a URL"),
        ("ftp://id.example/", "must begin with https"),
        ("id.example/keys", "must be a URL"),
        ("", "must be a URL"),
    ] {
        fault(&of(bad), words);
    }
}

#[test]
fn faults_of_the_tables() {
    let jwt = |lines: &str| format!("[auth.jwt]\n{lines}\n{ROUTE}");
    let hs = "algorithms = [\"HS256\"]\n";
    let es = "algorithms = [\"ES256\"]\n";
    for (lines, words) in [
        ("secret_file = \"s\"".to_owned(), "has no \"algorithms\""),
        (
            "algorithms = []\nsecret_file = \"s\"".to_owned(),
            "must be a list",
        ),
        (
            "algorithms = \"HS256\"\nsecret_file = \"s\"".to_owned(),
            "must be a list",
        ),
        (
            "algorithms = [5]\nsecret_file = \"s\"".to_owned(),
            "is a string, not an integer",
        ),
        (
            "algorithms = [\"none\"]\nsecret_file = \"s\"".to_owned(),
            "every token that anybody makes",
        ),
        (
            "algorithms = [\"HS255\"]\nsecret_file = \"s\"".to_owned(),
            "did you mean \"HS256\"?",
        ),
        (
            "algorithms = [\"HS256\", \"HS256\"]\nsecret_file = \"s\"".to_owned(),
            "is there twice",
        ),
        (hs.to_owned(), "does not say where its keys are"),
        (
            format!("{hs}secret_file = \"s\"\njwks_file = \"j\""),
            "keys come from one place",
        ),
        (
            format!("{es}jwks_url = \"https://a/\"\njwks_file = \"j\""),
            "keys come from one place",
        ),
        (
            format!("{hs}public_key_file = \"p\""),
            "HS256 takes a secret, not the public keys",
        ),
        (format!("{hs}jwks_file = \"p\""), "HS256 takes a secret"),
        (
            format!("{hs}jwks_url = \"https://a/\""),
            "HS256 takes a secret",
        ),
        (
            format!("{es}secret_file = \"s\""),
            "ES256 takes a public key",
        ),
        (
            "algorithms = [\"HS256\", \"RS256\"]\nsecret_file = \"s\"".to_owned(),
            "RS256 takes a public key",
        ),
        (
            format!("{hs}secret_file = \"\""),
            "\"secret_file\" is empty",
        ),
        (format!("{hs}secret_file = 5"), "must be a string"),
        (
            format!("{hs}secret_file = \"s\"\nissuer = \"\""),
            "\"issuer\" is empty",
        ),
        (
            format!("{hs}secret_file = \"s\"\naudience = []"),
            "\"audience\" must be",
        ),
        (
            format!("{hs}secret_file = \"s\"\naudience = [5]"),
            "\"audience\" must be",
        ),
        (
            format!("{hs}secret_file = \"s\"\naudience = \"\""),
            "\"audience\" must be",
        ),
        (
            format!("{hs}secret_file = \"s\"\nleeway = \"601s\""),
            "0s to 10m",
        ),
        (
            format!("{hs}secret_file = \"s\"\nleeway = \"10ms\""),
            "0s to 10m",
        ),
        (
            format!("{hs}secret_file = \"s\"\nleeway = 10"),
            "must be a string",
        ),
        (
            format!("{hs}secret_file = \"s\"\nsecret = \"x\""),
            "unknown key \"secret\"",
        ),
    ] {
        fault(&jwt(&lines), words);
    }
    assert!(
        load(
            "r.toml",
            &jwt(&format!("{hs}secret_file = \"s\"\nleeway = \"10m\""))
        )
        .is_ok()
    );
    for (tables, words) in [
        ("[auth]\njwts = 5\n", "unknown key \"jwts\" in [auth]"),
        ("auth = 5\n", "[auth] must be a table"),
        ("[auth.api_key]\n", "has no \"hashes_file\""),
        (
            "[auth.api_key]\nhashes_file = \"k\"\nheader = \"a b\"\n",
            "can't name a header",
        ),
        (
            "[auth.api_key]\nhashes_file = \"k\"\nheader = \"Authorization\"\n",
            "an API key is not one",
        ),
        (
            "[auth.api_key]\nhashes_file = \"k\"\nheader = \"X-Request-Id\"\n",
            "sent back and told to the log",
        ),
        (
            "[auth]\ndatabase_roles = \"a\"\n",
            "must be a list of roles",
        ),
        ("[auth]\ndatabase_roles = [5]\n", "a role is a string"),
        ("[auth]\ndatabase_roles = [\"\"]\n", "1 to 63 bytes"),
        (
            "[auth]\ndatabase_roles = [\"none\"]\n",
            "takes back the one that was set",
        ),
    ] {
        fault(&format!("{tables}{ROUTE}"), words);
    }
}

#[test]
fn faults_of_a_route() {
    for (lines, words) in [
        ("auth = \"jtw\"", "did you mean \"jwt\"?"),
        ("auth = []", "must be \"none\", \"jwt\""),
        ("auth = 5", "must be \"none\", \"jwt\""),
        ("auth = [5]", "names strings"),
        ("auth = [\"jwt\", \"none\"]", "lets everybody in"),
        ("auth = [\"jwt\", \"jwt\"]", "is there twice"),
        (
            "require = { role = \"a\" }",
            "\"require\" needs to know who asks",
        ),
        (
            "auth = \"none\"\nrequire = { role = \"a\" }",
            "needs to know who asks",
        ),
        ("auth = \"jwt\"\nrequire = {}", "requires nothing"),
        (
            "auth = \"jwt\"\nrequire = \"role\"",
            "must be a table of claims",
        ),
        (
            "auth = \"jwt\"\nrequire = { role = [] }",
            "no value of \"role\" would do",
        ),
        ("auth = \"jwt\"\nrequire = { role = 1.5 }", "not a float"),
        (
            "auth = \"jwt\"\nrequire = { role = [[\"a\"]] }",
            "not an array",
        ),
        (
            "database_role = \"claim:agent\"",
            "\"database_role\" by a claim needs to know who asks",
        ),
        (
            "auth = \"jwt\"\ndatabase_role = \"agents\"",
            "did you mean \"agent\"?",
        ),
        ("auth = \"jwt\"\ndatabase_role = \"claim:\"", "which claim?"),
        ("auth = \"jwt\"\ndatabase_role = 5", "must be a string"),
    ] {
        fault(&format!("{AUTH}{ROUTE}{lines}\n"), words);
    }
    let route = |lines: &str| format!("{ROUTE}{lines}\n");
    fault(&route("auth = \"jwt\""), "there is no [auth.jwt]");
    fault(&route("auth = [\"api_key\"]"), "there is no [auth.api_key]");
    let roles = AUTH.replace("database_roles = [\"agent\", \"reader\"]\n", "");
    let text = format!("{roles}{ROUTE}auth = \"jwt\"\ndatabase_role = \"claim:role\"\n");
    fault(&text, "there are no roles");
}

#[test]
fn claims_need_somebody() {
    let route = ROUTE.replace("select 1", "select :tenant::int8");
    let params = "[route.params]\ntenant = { in = \"claim\", name = \"https://a/tenant\" }\n";
    fault(
        &format!("{AUTH}{route}{params}"),
        "in = \"claim\" needs to know who asks",
    );
    fault(
        &format!("{AUTH}{route}auth = \"none\"\n{params}"),
        "needs to know who asks",
    );
    let api = load("r.toml", &format!("{AUTH}{route}auth = \"jwt\"\n{params}")).unwrap();
    let param = &api.routes[0].params[0];
    assert_eq!(
        (param.source, &*param.external),
        (In::Claim, "https://a/tenant")
    );
}

#[test]
fn there_are_so_many_roles_and_not_one_more() {
    let listing = |count: usize| {
        let roles: Vec<String> = (0..count).map(|number| format!("\"r{number}\"")).collect();
        format!("[auth]\ndatabase_roles = [{}]\n", roles.join(", "))
    };
    let most = limits::DATABASE_ROLES_MAX;
    let api = api(&listing(most), "database_role = \"r7\"");
    assert_eq!(api.guards.auth.database_roles.len(), most);
    let text = listing(most + 1) + ROUTE;
    fault(
        &text,
        "\"database_roles\" lists 1025 roles: 1024 at the most",
    );
    fault(&text, "r.toml:2:18");
}
