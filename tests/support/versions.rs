//! Routes whose answers tell which version of them was served.

use std::sync::Arc;

use rustls::ClientConfig;

use super::support::certificates::{Authority, Leaf};
use super::support::steady::{Place, Way};
use super::support::{Server, TempDir, wait_until};

/// Two cores, if the machine has them.
pub fn cores() -> &'static str {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 { "0,1" } else { "0" }
}

/// Waits until every core can answer: the kernel chooses which one is asked.
pub fn ready(server: Server) -> Server {
    wait_until("all cores are ready", || {
        (0..20).all(|_| server.get("/ready").status == 200)
    });
    server
}

/// Routes of this version.
pub fn routes(version: u64) -> String {
    format!(
        r#"
[[route]]
name = "item"
method = "GET"
path = "/items/{{id}}"
result = "one"
sql = "select :id::int8 as id, {version} as version"

[[route]]
name = "version_{version}"
method = "GET"
path = "/versions/{version}"
result = "one"
sql = "select {version} as version"

[[route]]
name = "slow"
method = "GET"
path = "/slow/{{seconds}}"
result = "one"
lane = "slow"
timeout = "60s"
sql = "select {version} as version from pg_sleep(:seconds)"

[lane.slow]
connections = 1
"#
    )
}

/// Whether an answer is right, whatever the version; none is older than one before it.
pub fn judge(id: u64, body: &str, last: u64) -> Result<u64, String> {
    let wrong = || format!("asked for {id} after version {last}: {body}");
    let start = format!("{{\"id\":{id},\"version\":");
    let version = body
        .strip_prefix(&*start)
        .and_then(|it| it.strip_suffix('}'));
    let version: u64 = version.and_then(|it| it.parse().ok()).ok_or_else(wrong)?;
    (version >= last).then_some(version).ok_or_else(wrong)
}

/// A certificate for localhost: the flags that name it, and a client that trusts it.
pub fn certificate(directory: &TempDir) -> (Vec<String>, Arc<ClientConfig>) {
    let authority = Authority::new("Test Root");
    let (certificate, key) = authority.issue(&Leaf::default()).files(directory, "server");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let [certificate, key] = [certificate, key].map(|path| path.to_string_lossy().into_owned());
    let flags = [
        "--tls-cert".to_owned(),
        certificate,
        "--tls-key".to_owned(),
        key,
    ];
    (flags.to_vec(), Arc::new(config))
}

/// Clients of every way, plain and encrypted, of a server that listens for both.
pub fn places(server: &mut Server, config: &Arc<ClientConfig>) -> Vec<Place> {
    let plain = server.listens_on("http");
    let encrypted = server.listens_on("https");
    let ways = [Way::KeepAlive, Way::KeepAlive, Way::Seldom(250), Way::Fresh];
    let of = |address, tls: Option<Arc<ClientConfig>>| {
        let place = move |way| Place {
            address,
            tls: tls.clone(),
            way,
        };
        ways.map(place)
    };
    [of(plain, None), of(encrypted, Some(config.clone()))].concat()
}
