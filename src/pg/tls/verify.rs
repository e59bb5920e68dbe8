//! The server's certificate, verified as libpq does it: not at all, its issuer, or its issuer and
//! its names; and the server's possession of its key, always.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme, crypto,
};

use super::certificate::{Certificate, common_name};
use super::roots::Roots;
use super::{name, provider};

/// Verifies the server of one connection.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Whose certificates are believed; `None` to believe all of them.
    pub(super) roots: Option<Arc<Roots>>,
    /// Who the certificate has to be for, with `sslmode=verify-full`.
    pub(super) host: Option<String>,
    /// Where revoked certificates are listed, for messages.
    pub(super) lists_name: String,
    /// What was wrong, in words.
    pub(super) fault: OnceLock<String>,
}

impl Verifier {
    fn verify(
        &self,
        der: &CertificateDer<'_>,
        certificate: &Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        if let Some(roots) = &self.roots {
            roots.verify(der, certificate, intermediates, now)?;
        }
        match &self.host {
            Some(host) if !name::is_for(certificate, host) => {
                Err(CertificateError::NotValidForName)
            }
            _ => Ok(()),
        }
    }

    /// A fault in words, with what helps.
    fn words(&self, error: &CertificateError, certificate: &Certificate<'_>) -> String {
        let time = |seconds: i64| match Timestamp::from_second(seconds) {
            Ok(time) => time.to_string(),
            Err(_) => "a time out of range".to_owned(),
        };
        let issuer = match common_name(certificate.issuer) {
            Some(name) => format!("\"{}\"", name::text(name)),
            None => "an issuer without a name".to_owned(),
        };
        let roots = self.roots.as_ref().map_or("", |roots| &roots.name);
        let lists = &self.lists_name;
        match error {
            CertificateError::UnknownIssuer => {
                let expired = match self.roots.as_ref().map_or(0, |roots| roots.out_of_date) {
                    0 => String::new(),
                    count => format!(" (and {count} that expired or are not valid yet)"),
                };
                format!("is by {issuer}, who is not among the issuers of {roots}{expired}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let end = certificate.not_after;
                let own = UnixTime::now().as_secs() > u64::try_from(end).unwrap_or(0);
                match own {
                    true => format!("expired on {}", time(end)),
                    false => format!("is by {issuer}, whose own certificate has expired"),
                }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let start = time(certificate.not_before);
                format!("is not valid before {start}: are the clocks right?")
            }
            CertificateError::NotValidForName => {
                let presented = name::presented(certificate);
                let host = self.host.as_deref().unwrap_or_default();
                format!(
                    "is for {presented}, not for {host}: with sslmode=verify-full it has to name \
                     the host"
                )
            }
            CertificateError::Revoked => format!("has been revoked, says {lists}"),
            CertificateError::UnknownRevocationStatus => {
                format!("may have been revoked: {lists} has no list by {issuer}")
            }
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => {
                format!("may have been revoked: a list of {lists} is out of date")
            }
            CertificateError::BadSignature => {
                format!("has a signature that is not by {issuer} of {roots}")
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "is not for servers (extended key usage)".to_owned()
            }
            error => format!("can't be verified: {error}"),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = parse(end_entity)?;
        self.verify(end_entity, &certificate, intermediates, now)
            .map_err(|error| {
                let words = self.words(&error, &certificate);
                // The first is what ends the handshake; there is no second.
                let _ = self.fault.set(format!("the server's certificate {words}"));
                Error::InvalidCertificate(error)
            })?;
        Ok(ServerCertVerified::assertion())
    }

    // Not rustls's own functions for certificates: they refuse those of X.509 version 1.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = parse(der)?.key;
        let mapping = provider().signature_verification_algorithms.mapping;
        let Some((_, algorithms)) = mapping.iter().find(|(scheme, _)| *scheme == signed.scheme)
        else {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        };
        // A scheme of TLS 1.2 leaves the curve open.
        let valid = algorithms.iter().any(|algorithm| {
            *algorithm.public_key_alg_id() == *key.algorithm
                && algorithm
                    .verify_signature(key.bits, message, signed.signature())
                    .is_ok()
        });
        match valid {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(parse(der)?.key.info);
        let supported = provider().signature_verification_algorithms;
        crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<Certificate<'a>, Error> {
    Certificate::parse(der).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}
