//! What the server shows to, and asks of, a service that it is a client of: from files, or the
//! machine's own trust store.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::Error;
use super::files::Named;

/// The files of one service's TLS, each with the flag that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Who issues the service's certificate; without it whoever the machine trusts.
    pub ca: Option<(&'static str, PathBuf)>,
    /// What is shown to a service that asks for it.
    pub identity: Option<Identity>,
}

/// A certificate, those between it and its root, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The flag and the file of the certificates.
    pub certificate: (&'static str, PathBuf),
    /// Those of the key.
    pub key: (&'static str, PathBuf),
}

impl ClientTls {
    /// What the files say now. Blocks: never to be called on a core.
    pub fn load(&self) -> Result<Arc<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error(format!("TLS: {error}")))?
            .with_root_certificates(self.roots()?);
        let Some(Identity { certificate, key }) = &self.identity else {
            return Ok(Arc::new(builder.with_no_client_auth()));
        };
        let certificates = named(certificate).certificates()?;
        let (private, _) = named(key).private_key()?;
        let config = builder
            .with_client_auth_cert(certificates, private)
            .map_err(|error| {
                let certificate = certificate.1.display();
                named(key).fault(format!("it can't be used with {certificate}: {error}"))
            })?;
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for certificate in named(ca).certificates()? {
                    roots.add(certificate).map_err(|error| {
                        named(ca).fault(format!("a certificate in it can't be used: {error}"))
                    })?;
                }
            }
            None => {
                // One that can't be read is the distribution's business, and no reason to believe no other.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let reason = "the machine's trust store has no certificates: install \
                                  ca-certificates, set SSL_CERT_FILE, or name a file";
                    return Err(Error(reason.to_owned()));
                }
            }
        }
        Ok(roots)
    }
}

fn named<'a>((flag, path): &'a (&'static str, PathBuf)) -> Named<'a> {
    Named { flag, path }
}
