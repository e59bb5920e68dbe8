//! Who asks, at the boundary: tokens and API keys as raw bytes, keys in files and at a URL, claims in SQL.

mod support;

#[path = "auth/accepted.rs"]
mod accepted;
#[path = "auth/caching.rs"]
mod caching;
#[path = "auth/claims.rs"]
mod claims;
#[path = "auth/jwks.rs"]
mod jwks;
#[path = "auth/refused.rs"]
mod refused;
#[path = "auth/reload.rs"]
mod reload;
#[path = "auth/start_up.rs"]
mod start_up;
#[path = "support/tokens.rs"]
mod tokens;

use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use support::{Postgres, Response, Server, TempDir, echo, pinion};
use tokens::Signer;

const SECRET: &[u8] = b"a secret of the test, 32 bytes..";

/// Tokens by a secret, and API keys; `{dir}` is where the files are.
const TABLES: &str = r#"
[auth.jwt]
algorithms = ["HS256"]
secret_file = "{dir}/secret"
issuer = "https://id.example"
audience = ["shop", "till"]
leeway = "0s"

[auth.api_key]
hashes_file = "{dir}/api-keys"
"#;

const ROUTES: &str = r#"
[[route]]
name = "open"
method = "GET"
path = "/open"
result = "one"
sql = "select 1 as one"

[[route]]
name = "who"
method = "GET"
path = "/who"
result = "one"
auth = "jwt"
sql = "select :sub::text as sub"
[route.params]
sub = { in = "claim" }

[[route]]
name = "till"
method = "GET"
path = "/till"
result = "one"
auth = "api_key"
sql = "select :name::text as name"
[route.params]
name = { in = "claim", name = "sub" }

[[route]]
name = "either"
method = "GET"
path = "/either"
result = "one"
auth = ["jwt", "api_key"]
sql = "select :sub::text as sub, :auth::text as auth"
[route.params]
sub = { in = "claim" }
auth = { in = "claim", default = "token" }

[[route]]
name = "post"
method = "POST"
path = "/post"
result = "one"
auth = "jwt"
sql = "select :text::text as text"
[route.params]
text = { in = "body" }

[[route]]
name = "agents"
method = "GET"
path = "/agents"
result = "one"
auth = ["jwt", "api_key"]
require = { role = ["admin", "agent"], tenant = 7 }
sql = "select 1 as one"
"#;

struct Fixture {
    server: Server,
    directory: TempDir,
    _postgres: Arc<Postgres>,
}

/// A server with a secret and one API key, `first`, of `till 1`.
fn fixture() -> Fixture {
    fixture_of(files(), TABLES, ROUTES)
}

/// The secret and the key.
fn files() -> TempDir {
    let directory = TempDir::new();
    secret_file(&directory, SECRET);
    let hash = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    directory.file("api-keys", &format!("# tills\ntill 1:{hash}\n"));
    directory
}

/// Serves these tables and the routes, on one core.
fn serve(directory: &TempDir, tables: &str) -> Command {
    let file = directory.file("routes.toml", &(filled(directory, tables) + ROUTES));
    let mut command = pinion(&["serve", "--cores", "0", "--listen", "127.0.0.1:0"]);
    command.arg("--routes").arg(file);
    command.args(["--database-url", &echo::postgres().url()]);
    command
}

fn fixture_of(directory: TempDir, tables: &str, routes: &str) -> Fixture {
    let postgres = echo::postgres();
    let file = filled(&directory, tables) + routes;
    let server = Server::start(&file, &postgres.url(), &["--log", "debug"]).ready();
    Fixture {
        server,
        directory,
        _postgres: postgres,
    }
}

fn filled(directory: &TempDir, tables: &str) -> String {
    tables.replace("{dir}", &directory.path().to_string_lossy())
}

fn secret_file(directory: &TempDir, secret: &[u8]) {
    let path = directory.path().join("secret");
    std::fs::write(&path, secret).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, own).unwrap();
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Claims that are good for an hour, and more of them.
fn claims(more: &str) -> String {
    let expires = now() + 3600;
    format!(r#"{{"iss":"https://id.example","aud":"shop","exp":{expires}{more}}}"#)
}

fn signer() -> Signer {
    Signer::hmac("HS256", SECRET)
}

/// A token that is good everywhere here.
fn good() -> String {
    signer().token(&claims(r#","sub":"anna","role":"agent","tenant":7"#))
}

impl Fixture {
    /// A GET with further lines, on a connection of its own.
    fn get(&self, path: &str, lines: &str) -> Response {
        get(&self.server, path, lines)
    }

    fn with_token(&self, path: &str, token: &str) -> Response {
        self.get(path, &bearer(token))
    }
}

fn get(server: &Server, path: &str, lines: &str) -> Response {
    let mut client = server.client();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-ID: same\r\n{lines}\r\n");
    client.send(request);
    client.response()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn challenges(response: &Response) -> Vec<&str> {
    let fields = response.fields.iter();
    let fields = fields.filter(|(name, _)| name == "www-authenticate");
    fields.map(|(_, value)| value.as_str()).collect()
}
