//! HTTPS as the real binary speaks it, to curl, to openssl and to rustls, with certificates made
//! here, and what it does with those who do not keep to it.

mod support;

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/deadlines.rs"]
mod deadlines;
#[path = "tls/peers.rs"]
mod peers;
#[path = "tls/records.rs"]
mod records;
#[path = "tls/refused.rs"]
mod refused;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/spoken.rs"]
mod spoken;
#[path = "tls/start_up.rs"]
mod start_up;
#[path = "tls/storm.rs"]
mod storm;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use support::certificates::{Authority, Issued, Leaf};
use support::process::descriptors;
use support::{Client, Postgres, Server, TempDir, connect, echo, wait_until};

/// Routes beside those that answer what they are asked for.
const MORE: &str = r#"
[[route]]
name = "post_length"
method = "POST"
path = "/length"
result = "one"
sql = "select length(:text::text) as length"
[route.params]
text = { in = "body" }

[[route]]
name = "many"
method = "GET"
path = "/many/{rows}"
result = "many"
max_rows = 20000
sql = "select number, repeat('y', 100) as text from generate_series(1, :rows::int4) as number"
"#;

/// A connection of rustls.
type Session = StreamOwned<ClientConnection, TcpStream>;

/// A server with a certificate of its own authority.
struct Https {
    server: Server,
    authority: Authority,
    directory: TempDir,
    certificate: PathBuf,
    key: PathBuf,
    _postgres: Arc<Postgres>,
}

/// A server over these routes with a certificate for localhost.
fn https(flags: &[&str]) -> Https {
    https_with(&Leaf::default(), flags)
}

fn https_with(leaf: &Leaf<'_>, flags: &[&str]) -> Https {
    let authority = Authority::new("Test Root");
    let issued = authority.issue(leaf);
    https_of(authority, &issued, flags)
}

fn https_of(authority: Authority, issued: &Issued, flags: &[&str]) -> Https {
    let https = start(authority, issued, flags);
    wait_until("the server is ready", || {
        https.client().request("GET", "/ready", None).status == 200
    });
    https
}

/// A server that may not be ready yet, or refuse the plain client that would ask.
fn start(authority: Authority, issued: &Issued, flags: &[&str]) -> Https {
    let postgres = echo::postgres();
    let directory = TempDir::new();
    let (certificate, key) = issued.files(&directory, "server");
    let paths = [&certificate, &key].map(|path| path.to_string_lossy().into_owned());
    let tls = ["--tls-cert", &paths[0], "--tls-key", &paths[1]];
    let flags = [&tls, &["--statement-timeout", "60s"][..], flags].concat();
    Https {
        server: Server::start(&format!("{}{MORE}", echo::ROUTES), &postgres.url(), &flags),
        authority,
        directory,
        certificate,
        key,
        _postgres: postgres,
    }
}

impl Https {
    fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// A client that trusts the server's authority.
    fn client(&self) -> Client<Session> {
        self.client_with(client_config(&self.authority.roots()))
    }

    fn client_with(&self, config: ClientConfig) -> Client<Session> {
        Client::over(session(self.address(), &Arc::new(config), "localhost"))
    }

    /// The address of its plain listener, which `--listen http://127.0.0.1:0` has asked for.
    fn plain_address(&mut self) -> SocketAddr {
        self.server.listens_on("http")
    }
}

/// A session that has not begun: it shakes hands when it is first used.
fn session(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Session {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(config.clone(), name).expect("a session");
    StreamOwned::new(session, connect(address))
}

fn client_config(roots: &RootCertStore) -> ClientConfig {
    client_config_of(rustls::ALL_VERSIONS, roots)
}

fn client_config_of(
    versions: &[&'static SupportedProtocolVersion],
    roots: &RootCertStore,
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth()
}

/// Shakes hands; the words of the fault if that fails. A client of TLS 1.3 is done before the server
/// has seen its certificate, so it also asks for something.
fn shake_hands(session: Session) -> Result<Client<Session>, String> {
    use std::io::{Read, Write};
    let mut client = Client::over(session);
    let request = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let stream = &mut client.stream;
    let mut answer = [0; 12];
    let outcome = stream
        .write_all(request)
        .and_then(|()| stream.read_exact(&mut answer));
    match outcome {
        Ok(()) => {
            assert_eq!(&answer, b"HTTP/1.1 200");
            Ok(client)
        }
        Err(error) => Err(error.to_string()),
    }
}
