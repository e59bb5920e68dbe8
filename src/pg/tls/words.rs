//! What a fault of a TLS session is called, and whether waiting may mend it.

use std::io;

use rustls::{AlertDescription, Error};

/// A fault in words, with what helps.
pub(in crate::pg) fn words(error: &io::Error) -> String {
    let Some(fault) = fault(error) else {
        return error.to_string();
    };
    match fault {
        Error::AlertReceived(alert) => {
            let reason = match alert {
                AlertDescription::UnknownCA => {
                    "the client's certificate (sslcert) is of an issuer that the server does not \
                     know (Postgres: ssl_ca_file)"
                }
                AlertDescription::CertificateExpired => {
                    "the client's certificate (sslcert) has expired"
                }
                AlertDescription::CertificateRevoked => {
                    "the client's certificate (sslcert) has been revoked"
                }
                AlertDescription::CertificateRequired => {
                    "it asks for a client certificate (sslcert, sslkey)"
                }
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError => {
                    "it does not take the client's certificate (sslcert)"
                }
                AlertDescription::ProtocolVersion => {
                    "no version of TLS suits both sides (ssl_min_protocol_version, \
                     ssl_max_protocol_version)"
                }
                AlertDescription::HandshakeFailure => {
                    "nothing suits both sides: versions, ciphers, or a client certificate that it \
                     asks for (sslcert, sslkey)"
                }
                AlertDescription::UnrecognisedName => {
                    "it does not know the host by this name (sslsni=0 names none)"
                }
                AlertDescription::NoApplicationProtocol => {
                    "it does not speak Postgres's protocol there (ALPN postgresql)"
                }
                _ => return format!("the server ended the TLS session: alert {alert:?}"),
            };
            format!("the server refuses the TLS session: {reason}")
        }
        Error::PeerIncompatible(reason) => format!(
            "TLS: the server's choice is not possible here ({reason:?}): versions are set by \
             ssl_min_protocol_version and ssl_max_protocol_version"
        ),
        fault => format!("TLS: {fault}"),
    }
}

/// Whether the server has refused the session by an alert.
pub(in crate::pg) fn is_refusal(error: &io::Error) -> bool {
    matches!(fault(error), Some(Error::AlertReceived(alert)) if *alert != AlertDescription::InternalError)
}

/// Whether trying again may help: the socket is at fault, not what the two have told each other.
pub(super) fn is_moment(error: &io::Error) -> bool {
    fault(error).is_none()
        || matches!(fault(error), Some(Error::AlertReceived(_))) && !is_refusal(error)
}

fn fault(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
