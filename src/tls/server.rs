//! What the server shows to its clients and asks of them: loaded at the start, and again whenever
//! the control thread is told to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ProducesTickets, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig};

use super::files::Named;
use crate::config::{ClientAuth, Tls, TlsVersion};
use crate::limits;

/// The one protocol that is spoken inside (RFC 7301 §6). A client that offers others only is
/// refused; one that offers none is taken to speak it.
const APPLICATION_PROTOCOL: &[u8] = b"http/1.1";

/// Settings of TLS that can't be used, with the flag and the file.
#[derive(Debug)]
pub struct Error(pub(super) String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The server's side of TLS, as its files are now.
///
/// Sessions are resumed from tickets (RFC 5077, RFC 8446 §2.2), which hold all that is needed, so
/// that it does not matter which core a client comes back to. Their keys are shared by the cores,
/// live in memory alone, change every 6 hours and are valid for 12. Nothing is accepted before a
/// handshake has ended (no early data: it could be sent twice).
pub struct ServerTls {
    settings: Tls,
    loaded: Loaded,
}

/// What the files say.
struct Loaded {
    config: Arc<ServerConfig>,
    tickets: Tickets,
}

/// The key of the tickets, and for whom they are good: whoever holds one is not asked for
/// a certificate again.
struct Tickets {
    ticketer: Arc<dyn ProducesTickets>,
    public_key: Option<Vec<u8>>,
    client_ca: Vec<CertificateDer<'static>>,
}

impl ServerTls {
    /// Loads the files; what is only questionable about them is told to the log.
    pub fn load(settings: &Tls) -> Result<ServerTls, Error> {
        Ok(ServerTls {
            loaded: load(settings, None)?,
            settings: settings.clone(),
        })
    }

    /// Loads the files again. A fault leaves everything as it was.
    pub fn reload(&mut self) -> Result<(), Error> {
        self.loaded = load(&self.settings, Some(&self.loaded.tickets))?;
        Ok(())
    }

    /// What a handshake that begins now is to use.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.config.clone()
    }
}

fn load(settings: &Tls, former: Option<&Tickets>) -> Result<Loaded, Error> {
    let provider = Arc::new(ring::default_provider());
    let key = certified_key(settings, &provider)?;
    let client_ca = match &settings.client {
        None => Vec::new(),
        Some(client) => client_ca_file(&client.ca).certificates()?,
    };
    let public_key = key.key.public_key().map(|key| key.to_vec());
    let ticketer = match former {
        Some(former) if former.public_key == public_key && former.client_ca == client_ca => {
            former.ticketer.clone()
        }
        _ => ring::Ticketer::new().map_err(|error| Error(format!("TLS tickets: {error}")))?,
    };
    let versions: &[_] = match settings.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let verifier = client_verifier(settings, &client_ca, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| Error(format!("--tls-min-version: {error}")))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![APPLICATION_PROTOCOL.to_vec()];
    config.ticketer = ticketer.clone();
    // Sessions of 1.2 would also be kept by their ids otherwise, in one table behind one lock.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Loaded {
        config: Arc::new(config),
        tickets: Tickets {
            ticketer,
            public_key,
            client_ca,
        },
    })
}

/// The certificate and its key, which have to belong together.
fn certified_key(settings: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let certificate_file = Named {
        flag: "--tls-cert",
        path: &settings.certificate,
    };
    let key_file = Named {
        flag: "--tls-key",
        path: &settings.key,
    };
    let chain = certificate_file.certificates()?;
    for certificate in &chain {
        if let Some(warning) = look_at_dates(certificate, provider)
            .map_err(|error| certificate_file.fault(format!("a certificate in it: {error}")))?
        {
            tracing::warn!("{}", certificate_file.fault(warning));
        }
    }
    let (key, warning) = key_file.private_key()?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        key_file.fault(
            "the key is of a kind that is not supported \
                 (ECDSA on P-256 or P-384, Ed25519, RSA of 2048 to 4096 bits are)",
        )
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(key_file.fault(format!(
            "it is not the key of the first certificate of --tls-cert {}",
            settings.certificate.display()
        ))),
        Err(error) => Err(certificate_file.fault(error)),
    }
}

/// A warning about a certificate that clients do not accept now or soon, by its dates.
fn look_at_dates(
    certificate: &CertificateDer<'_>,
    provider: &CryptoProvider,
) -> Result<Option<String>, rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    // The dates are what is looked at first: with no issuer to be found, any other fault is ours.
    let fault_at = |time: UnixTime| {
        let algorithms = provider.signature_verification_algorithms.all;
        let nobody = RootCertStore::empty();
        match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], time, algorithms) {
            Err(rustls::Error::InvalidCertificate(error)) => Some(error),
            _ => None,
        }
    };
    let soon = UnixTime::now().as_secs() + limits::CERTIFICATE_NOTICE.as_secs();
    Ok(match fault_at(UnixTime::now()) {
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Some("a certificate in it has expired: clients refuse it".to_owned())
        }
        Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            Some("a certificate in it is not valid yet: clients refuse it".to_owned())
        }
        _ => match fault_at(UnixTime::since_unix_epoch(Duration::from_secs(soon))) {
            Some(CertificateError::ExpiredContext { not_after, .. }) => {
                let left = not_after
                    .as_secs()
                    .saturating_sub(UnixTime::now().as_secs());
                let hours = left / 3600;
                Some(format!("a certificate in it expires in {hours} hours"))
            }
            _ => None,
        },
    })
}

fn client_ca_file(path: &std::path::Path) -> Named<'_> {
    Named {
        flag: "--tls-client-ca",
        path,
    }
}

/// Whom a client has to be known to.
fn client_verifier(
    settings: &Tls,
    client_ca: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let Some(client) = &settings.client else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let file = client_ca_file(&client.ca);
    let mut roots = RootCertStore::empty();
    for certificate in client_ca {
        roots
            .add(certificate.clone())
            .map_err(|error| file.fault(format!("a certificate in it: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = match client.auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| file.fault(error))
}
