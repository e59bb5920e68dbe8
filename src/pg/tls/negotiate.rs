//! From a connected socket to a session's channel: the question for TLS (Postgres §55.2.10) and the
//! handshake.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{DnsName, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, SignatureScheme};

use super::verify::Verifier;
use super::words::{is_moment, words};
use super::{Material, Source, files, nobody, provider};
use crate::pg::url::tls::{Mode, Tls};
use crate::ring::{Ring, Stream, blocking};
use crate::tls::{Channel, handshake};

/// SSLRequest: its length and the code 1234.5679.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The name of Postgres's protocol in ALPN.
const PROTOCOL: &[u8] = b"postgresql";

/// A channel for a session.
pub(in crate::pg) struct Secured {
    pub(in crate::pg) channel: Channel,
    /// A client certificate was asked for, and sent.
    pub(in crate::pg) certificate_sent: bool,
}

/// Why there is no channel.
#[derive(Debug)]
pub(in crate::pg) enum Insecure {
    /// The server did not answer the question for TLS as it should, or is away.
    Unasked(String),
    /// TLS failed, in words.
    Failed {
        reason: String,
        /// Trying again may help.
        moment: bool,
    },
}

/// Asks the server of `stream` for TLS and shakes hands, or goes on without if the server has none
/// and the settings allow it. `host` is the name or address that the user gave.
pub(in crate::pg) async fn secure(
    ring: &Rc<Ring>,
    source: &Arc<Source>,
    host: Option<&str>,
    stream: Stream,
) -> Result<Secured, Insecure> {
    let settings = &source.settings;
    if !settings.direct && !ask(&stream).await? {
        return match settings.mode {
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => Err(failed(
                "the server has no TLS, and sslmode asks for it (Postgres: ssl = on)",
            )),
            _ => Ok(Secured {
                channel: stream.into(),
                certificate_sent: false,
            }),
        };
    }
    let material = {
        let source = source.clone();
        blocking(ring, move || source.material())
            .await
            .map_err(|error| away(error.to_string()))?
            .map_err(|fault| failed(fault.to_string()))?
    };
    shake_hands(settings, &material, host, stream).await
}

/// Whether the server has TLS. Exactly one byte is its answer: it is not encrypted, so that whatever
/// comes with it may be from anybody (CVE-2021-23222).
async fn ask(stream: &Stream) -> Result<bool, Insecure> {
    stream.write(|out| out.extend_from_slice(&REQUEST));
    let answered = poll_fn(|context| stream.poll_fill(context, 0)).await;
    let (answer, count) = match answered {
        Ok(true) => stream.with_input(|input| (input[0], input.len())),
        Ok(false) => {
            let reason = "the server closed the connection when it was asked for TLS";
            return Err(Insecure::Unasked(reason.to_owned()));
        }
        Err(error) => return Err(Insecure::Unasked(error.to_string())),
    };
    stream.consume(1);
    match answer {
        b'S' if count > 1 => Err(Insecure::Unasked(
            "unencrypted bytes came with the server's answer about TLS: somebody may be tampering \
             with the connection"
                .to_owned(),
        )),
        b'S' => Ok(true),
        b'N' => Ok(false),
        // Its words could be anybody's.
        b'E' => Err(Insecure::Unasked(
            "the server answered the question for TLS with an error".to_owned(),
        )),
        other => Err(Insecure::Unasked(format!(
            "the server answered the question for TLS with byte {other:#04x}: is it Postgres?"
        ))),
    }
}

async fn shake_hands(
    settings: &Tls,
    material: &Material,
    host: Option<&str>,
    stream: Stream,
) -> Result<Secured, Insecure> {
    if settings.mode == Mode::VerifyFull && host.is_none() {
        let reason = "sslmode=verify-full needs a host to compare with: hostaddr alone names none";
        return Err(failed(reason));
    }
    let (keyword, lists) = files::list_place(&settings.revocation);
    let verifier = Arc::new(Verifier {
        roots: material.roots.clone(),
        host: host
            .filter(|_| settings.mode == Mode::VerifyFull)
            .map(str::to_owned),
        lists_name: format!("{keyword} {}", lists.display()),
        fault: OnceLock::new(),
    });
    let identity = Arc::new(Identity {
        key: material.identity.clone(),
        sent: AtomicBool::new(false),
    });
    let session = session(settings, host, verifier.clone(), identity.clone())
        .map_err(|error| failed(error.to_string()))?;
    let stream = handshake(stream, session).await.map_err(|error| {
        let reason = match verifier.fault.get() {
            Some(fault) => fault.clone(),
            None => words(&error),
        };
        let moment = is_moment(&error);
        match settings.direct && error.kind() == io::ErrorKind::UnexpectedEof {
            true => failed(format!("{reason}: sslnegotiation=direct needs Postgres 17")),
            false => Insecure::Failed { reason, moment },
        }
    })?;
    if settings.direct && stream.application_protocol().as_deref() != Some(PROTOCOL) {
        let reason = "the server did not agree on the protocol postgresql (ALPN), which \
                      sslnegotiation=direct needs: is it Postgres 17?";
        return Err(failed(reason));
    }
    Ok(Secured {
        channel: Channel::Tls(Box::new(stream)),
        certificate_sent: identity.sent.load(Ordering::Relaxed),
    })
}

fn session(
    settings: &Tls,
    host: Option<&str>,
    verifier: Arc<Verifier>,
    identity: Arc<Identity>,
) -> Result<ClientConnection, rustls::Error> {
    let versions = match (settings.versions.tls12, settings.versions.tls13) {
        (true, false) => &[&TLS12][..],
        (false, true) => &[&TLS13],
        _ => &[&TLS12, &TLS13],
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .dangerous() // the verifier is our own, as libpq's rules are
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Postgres resumes no sessions.
    config.resumption = Resumption::disabled();
    let name = host
        .filter(|_| settings.sni)
        .filter(|host| host.parse::<IpAddr>().is_err())
        .and_then(|host| DnsName::try_from(host.to_owned()).ok());
    config.enable_sni = name.is_some();
    // Only the SNI comes of it: the verifier knows the host by itself.
    let name = name.map_or_else(nobody, ServerName::DnsName);
    ClientConnection::new(config.into(), name)
}

/// The client's certificate, and whether the server has asked for it.
#[derive(Debug)]
struct Identity {
    key: Option<Arc<CertifiedKey>>,
    sent: AtomicBool,
}

impl ResolvesClientCert for Identity {
    /// As in libpq, whoever the server says that it trusts: it judges.
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.key.as_ref()?;
        key.key.choose_scheme(schemes)?;
        self.sent.store(true, Ordering::Relaxed);
        Some(key.clone())
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

fn failed(reason: impl Into<String>) -> Insecure {
    Insecure::Failed {
        reason: reason.into(),
        moment: false,
    }
}

fn away(reason: String) -> Insecure {
    Insecure::Unasked(reason)
}
