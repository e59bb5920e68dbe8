//! Whose certificates are believed.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

use super::certificate::{Certificate, Key};
use super::{nobody, provider};

/// The issuers that the user trusts, and what they have revoked.
pub(super) struct Roots {
    /// Where they come from, for messages.
    pub(super) name: String,
    /// How many more there are that have expired or are not valid yet.
    pub(super) out_of_date: usize,
    /// When the first of them expires, in seconds since 1970.
    pub(super) expires: i64,
    certificates: Vec<CertificateDer<'static>>,
    /// Builds the chains; `None` where no certificate is that of an authority.
    chains: Option<Arc<WebPkiServerVerifier>>,
    has_lists: bool,
}

/// Why there are no roots, in words.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is the certificates.
    Certificates(String),
    /// It is the revocation lists.
    Lists(String),
}

impl Roots {
    /// Takes the certificates that are valid now, and revocation lists, none of which means that
    /// nothing is revoked.
    pub(super) fn new(
        name: String,
        found: Vec<CertificateDer<'static>>,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Roots, Unusable> {
        let now = UnixTime::now();
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        let (mut out_of_date, mut expires) = (0, i64::MAX);
        for (index, der) in found.into_iter().enumerate() {
            let malformed =
                || Unusable::Certificates(format!("certificate {} in it is malformed", index + 1));
            let certificate = Certificate::parse(&der).map_err(|_| malformed())?;
            if check_time(&certificate, now).is_err() {
                out_of_date += 1;
                continue;
            }
            expires = expires.min(certificate.not_after);
            // What is only a server's own certificate vouches for itself and nobody else.
            if certificate.may_issue() {
                store.add(der.clone()).map_err(|_| malformed())?;
            }
            certificates.push(der);
        }
        if certificates.is_empty() {
            let reason = "every certificate in it has expired or is not valid yet";
            return Err(Unusable::Certificates(reason.to_owned()));
        }
        let has_lists = !lists.is_empty();
        let chains = match store.is_empty() {
            true => None,
            false => {
                let chains = WebPkiServerVerifier::builder_with_provider(store.into(), provider())
                    .with_crls(lists)
                    .enforce_revocation_expiration()
                    .build();
                // There are roots, so it can only be the lists.
                Some(chains.map_err(|error| Unusable::Lists(error.to_string()))?)
            }
        };
        Ok(Roots {
            name,
            out_of_date,
            expires,
            certificates,
            chains,
            has_lists,
        })
    }

    /// Whether a server's certificate is to be believed at the time `now`; names are not looked at.
    pub(super) fn verify(
        &self,
        der: &CertificateDer<'_>,
        certificate: &Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let is_listed = || self.certificates.iter().any(|listed| listed == der);
        if certificate.issuer == certificate.subject && is_listed() {
            return self.verify_without_chain(certificate, now);
        }
        if certificate.version == 1 {
            self.find_issuer(certificate)?;
            return self.verify_without_chain(certificate, now);
        }
        let Some(chains) = &self.chains else {
            return Err(CertificateError::UnknownIssuer);
        };
        match chains.verify_server_cert(der, intermediates, &nobody(), &[], now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(error)) => match error {
                // It comes last: everything else is as it should be.
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Ok(()),
                error => Err(error),
            },
            Err(error) => Err(other(error)),
        }
    }

    /// Finds the root that has signed a certificate of X.509 version 1, of which rustls-webpki knows
    /// nothing. There are no extensions that could say how it may be used.
    fn find_issuer(&self, certificate: &Certificate<'_>) -> Result<(), CertificateError> {
        let roots = self.certificates.iter();
        let mut roots = roots.filter_map(|der| Certificate::parse(der).ok());
        let has_signed = |root: &Certificate<'_>| {
            root.subject == certificate.issuer
                && root.may_issue()
                && !root.constrains_names // and here nothing could be held against them
                && is_signed_by(certificate, &root.key)
        };
        match roots.any(|root| has_signed(&root)) {
            true => Ok(()),
            false => Err(CertificateError::UnknownIssuer),
        }
    }

    /// What is left to be checked where no chain is built.
    fn verify_without_chain(
        &self,
        certificate: &Certificate<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        match self.has_lists {
            // Better refused than not looked up.
            true => Err(CertificateError::UnknownRevocationStatus),
            false => check_time(certificate, now),
        }
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.certificates.len(), self.name)
    }
}

fn check_time(certificate: &Certificate<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < certificate.not_before {
        return Err(CertificateError::NotValidYet);
    }
    if seconds > certificate.not_after {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

fn is_signed_by(certificate: &Certificate<'_>, key: &Key<'_>) -> bool {
    let algorithms = provider().signature_verification_algorithms.all;
    let fitting = algorithms.iter().filter(|algorithm| {
        *algorithm.signature_alg_id() == *certificate.signature_algorithm
            && *algorithm.public_key_alg_id() == *key.algorithm
    });
    let (signed, signature) = (certificate.signed, certificate.signature);
    fitting.into_iter().any(|algorithm| {
        algorithm
            .verify_signature(key.bits, signed, signature)
            .is_ok()
    })
}

fn other(error: Error) -> CertificateError {
    CertificateError::Other(rustls::OtherError(Arc::new(error)))
}
