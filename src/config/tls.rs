//! The flags of TLS.

use std::path::PathBuf;

use super::Error;
use crate::cli::Machine;
pub use crate::cli::{ClientAuth, TlsVersion};

/// TLS on the client side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The file of the certificate and of those between it and its root.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// Whom clients have to be known to.
    pub client: Option<TlsClient>,
    /// What is older is not spoken.
    pub min_version: TlsVersion,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClient {
    /// The file of those who issue their certificates.
    pub ca: PathBuf,
    /// Whether one has to be shown.
    pub auth: ClientAuth,
}

/// The flags of TLS, which stand or fall with the certificate.
pub(super) fn from_flags(flags: &Machine) -> Result<Option<Tls>, Error> {
    let needs = |flag: &str, other: &str| Err(Error(format!("{flag}: needs {other}")));
    let (certificate, key) = match (&flags.tls_cert, &flags.tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        (Some(_), None) => return needs("--tls-cert", "--tls-key"),
        (None, Some(_)) => return needs("--tls-key", "--tls-cert"),
        (None, None) => {
            let others = [
                ("--tls-client-ca", flags.tls_client_ca.is_some()),
                ("--tls-client-auth", flags.tls_client_auth.is_some()),
                ("--tls-min-version", flags.tls_min_version.is_some()),
            ];
            return match others.iter().find(|(_, given)| *given) {
                Some((flag, _)) => needs(flag, "--tls-cert and --tls-key"),
                None => Ok(None),
            };
        }
    };
    let client = match (&flags.tls_client_ca, flags.tls_client_auth) {
        (None, Some(_)) => return needs("--tls-client-auth", "--tls-client-ca"),
        (None, None) => None,
        (Some(ca), auth) => Some(TlsClient {
            ca: ca.clone(),
            auth: auth.unwrap_or(ClientAuth::Required),
        }),
    };
    Ok(Some(Tls {
        certificate,
        key,
        client,
        min_version: flags.tls_min_version.unwrap_or(TlsVersion::Tls12),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    #[test]
    fn flags_of_tls_that_need_another_one() {
        for (flags, fault) in [
            (&["--tls-cert", "c"][..], "--tls-cert: needs --tls-key"),
            (&["--tls-key", "k"], "--tls-key: needs --tls-cert"),
            (
                &["--tls-client-ca", "a"],
                "--tls-client-ca: needs --tls-cert",
            ),
            (
                &["--tls-client-auth", "optional"],
                "--tls-client-auth: needs --tls-cert",
            ),
            (
                &["--tls-min-version", "1.3"],
                "--tls-min-version: needs --tls-cert",
            ),
            (
                &[
                    "--tls-cert",
                    "c",
                    "--tls-key",
                    "k",
                    "--tls-client-auth",
                    "required",
                ],
                "--tls-client-auth: needs --tls-client-ca",
            ),
            (
                &["--listen", "https://127.0.0.1:80"],
                "--listen https://127.0.0.1:80: HTTPS needs",
            ),
        ] {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.starts_with(fault), "{error}");
        }
        let tls = config(&["--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a"]);
        let tls = tls.unwrap().tls.unwrap();
        assert_eq!(tls.min_version, TlsVersion::Tls12);
        assert_eq!(tls.client.unwrap().auth, ClientAuth::Required);
    }
}
