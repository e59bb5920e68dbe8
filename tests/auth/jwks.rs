//! Keys that an issuer publishes, and changes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::support::certificates::{Authority, Leaf};
use super::support::{PATIENCE, Server, Signal, TempDir, wait_until};
use super::tokens::{Signer, jwks};
use super::{bearer, claims, echo, get, serve};
use pinion::limits;

/// Publishes a document.
struct Issuer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Status line and body.
    answer: Mutex<(String, String)>,
    asked: AtomicUsize,
    ended: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl Issuer {
    fn start(document: &str, tls: Option<Arc<ServerConfig>>) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Mutex::new(("200 OK".to_owned(), document.to_owned())),
            asked: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            tls,
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes is its own affair.
                let _ = stream.and_then(|stream| serving.serve(stream));
            }
        });
        Issuer { address, shared }
    }

    fn publish(&self, status: &str, document: &str) {
        *self.shared.answer.lock().unwrap() = (status.to_owned(), document.to_owned());
    }

    fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        match &self.tls {
            None => self.answer(stream),
            Some(config) => {
                let session = ServerConnection::new(config.clone()).unwrap();
                self.answer(StreamOwned::new(session, stream))
            }
        }
    }

    fn answer(&self, mut stream: impl Read + Write) -> std::io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        assert!(request.starts_with(b"GET /keys HTTP/1.1\r\n"));
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = self.answer.lock().unwrap().clone();
        let length = body.len();
        let location = "Location: http://127.0.0.1:1/elsewhere\r\n";
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{location}Connection: close\r\n\r\n{body}"
        )?;
        stream.flush()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address); // wakes it
    }
}

/// A server that knows the keys by this URL. It may have none yet.
fn server(url: &str, environment: &[(&str, &str)]) -> Server {
    let directory = TempDir::new();
    let tables = format!(
        "[auth.jwt]\nalgorithms = [\"ES256\"]\njwks_url = \"{url}\"\naudience = \"shop\"\n\
         [auth.api_key]\nhashes_file = \"none\"\n"
    );
    // Seen from the directory of the routes file.
    directory.file("none", "");
    let mut command = serve(&directory, &tables);
    for name in [
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "SSL_CERT_DIR",
    ] {
        command.env_remove(name);
    }
    for (name, value) in environment {
        command.env(name, value);
    }
    Server::run(command, directory)
}

fn status(server: &Server, token: &str) -> u16 {
    get(server, "/who", &bearer(token)).status
}

fn token(signer: &Signer, id: &str) -> String {
    signer.token_of(id, &claims(r#","sub":"anna""#))
}

#[test]
fn keys_are_rotated() {
    let _postgres = echo::postgres();
    let (first, second, third) = (
        Signer::curve("ES256"),
        Signer::curve("ES256"),
        Signer::curve("ES256"),
    );
    let issuer = Issuer::start(&jwks(&[first.jwk("1")]), None);
    let mut server = server(&format!("http://{}/keys", issuer.address), &[]).ready();
    assert_eq!(issuer.asked(), 1, "once, before anything is served");
    assert_eq!(status(&server, &token(&first, "1")), 200);
    assert_eq!(issuer.asked(), 1, "what is known is not asked for");

    // A key that is not known is fetched, and let in once it is there.
    issuer.publish("200 OK", &jwks(&[first.jwk("1"), second.jwk("2")]));
    let begin = Instant::now();
    assert_eq!(status(&server, &token(&second, "2")), 401);
    wait_until("the key is there", || {
        status(&server, &token(&second, "2")) == 200
    });
    assert_eq!(status(&server, &token(&first, "1")), 200);
    assert_eq!(issuer.asked(), 2);

    // Names that nobody has are asked for again and again, and fetched no more often than that.
    let stranger = token(&Signer::curve("ES256"), "x");
    wait_until("they have been asked for", || {
        assert_eq!(status(&server, &stranger), 401);
        issuer.asked() >= 4
    });
    let most = begin.elapsed().as_secs_f64() / limits::JWKS_INTERVAL_MIN.as_secs_f64();
    assert!(
        issuer.asked() as f64 <= 2.0 + most,
        "{} in {most}",
        issuer.asked()
    );

    // What can't be used leaves the keys as they are, and is told once.
    let large = " ".repeat(limits::JWKS_BYTES_MAX as usize + 1);
    for (status_line, document, words) in [
        ("500 Oops", "{}", "500"),
        ("302 Found", "", "302"),
        ("200 OK", "hello", "it is no JSON Web Key Set"),
        ("200 OK", "{\"keys\":[]}", "there is no key in it"),
        ("200 OK", &large, "limit"),
    ] {
        server.forget_log();
        issuer.publish(status_line, document);
        let asked = issuer.asked();
        server.signal(Signal::HUP);
        let line = server.wait_for_line("the keys of tokens stay as they were");
        assert!(line.contains(words), "{line}");
        assert!(issuer.asked() > asked);
        assert_eq!(status(&server, &token(&first, "1")), 200);
        assert_eq!(status(&server, &token(&second, "2")), 200);
    }
    // A key that is withdrawn is no longer believed.
    issuer.publish("200 OK", &jwks(&[second.jwk("2"), third.jwk("3")]));
    server.signal(Signal::HUP);
    server.wait_for_line("the keys of tokens can be fetched again");
    wait_until("the first is gone", || {
        status(&server, &token(&first, "1")) == 401
    });
    assert_eq!(status(&server, &token(&third, "3")), 200);
    assert_eq!(status(&server, &token(&second, "2")), 200);
}

#[test]
fn an_issuer_that_is_away_at_first() {
    let _postgres = echo::postgres();
    let signer = Signer::curve("ES256");
    let issuer = Issuer::start("", None);
    issuer.publish("503 Away", "");
    let mut server = server(&format!("http://{}/keys", issuer.address), &[]);
    server.wait_for_line("the keys of tokens stay as they were");
    assert_eq!(status(&server, &token(&signer, "1")), 401);
    wait_until("it says why it is not ready", || {
        let response = server.get("/ready");
        assert_eq!(response.status, 503);
        response
            .text()
            .contains("[\"no keys to verify tokens with\"]")
    });
    issuer.publish("200 OK", &jwks(&[signer.jwk("1")]));
    let server = server.ready();
    assert_eq!(status(&server, &token(&signer, "1")), 200);
}

#[test]
fn https_by_the_authorities_of_the_machine() {
    let _postgres = echo::postgres();
    let signer = Signer::curve("ES256");
    let authority = Authority::new("Test Root");
    let issued = authority.issue(&Leaf::default());
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(issued.chain.clone(), issued.key())
            .unwrap();
    let issuer = Issuer::start(&jwks(&[signer.jwk("1")]), Some(Arc::new(config)));
    let url = format!("https://localhost:{}/keys", issuer.address.port());
    let directory = TempDir::new();
    let known = authority.file(&directory, "root.pem");
    let other = Authority::new("Another Root").file(&directory, "other.pem");

    let trusting = server(&url, &[("SSL_CERT_FILE", &known.to_string_lossy())]).ready();
    assert_eq!(status(&trusting, &token(&signer, "1")), 200);

    let mut wary = server(&url, &[("SSL_CERT_FILE", &other.to_string_lossy())]);
    let line = wary.wait_for_line("the keys of tokens stay as they were");
    assert!(line.contains("UnknownIssuer"), "{line}");
    assert_eq!(status(&wary, &token(&signer, "1")), 401);
}

#[test]
fn an_issuer_that_says_nothing_does_not_keep_the_server_from_starting() {
    let _postgres = echo::postgres();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", silent.local_addr().unwrap());
    let begin = Instant::now();
    let mut server = server(&url, &[]);
    let line = server.wait_for_line("the keys of tokens stay as they were");
    assert!(line.contains("timeout"), "{line}");
    assert!(begin.elapsed() >= limits::JWKS_TIMEOUT - Duration::from_millis(100));
    wait_until("it serves what needs no keys", || {
        get(&server, "/open", "").status == 200
    });
}
