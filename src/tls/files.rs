//! Certificates and keys from files (PEM, RFC 7468), each fault in one line that names the file.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;
use crate::limits::TLS_FILE_BYTES_MAX;

/// Permission bits that let others than the owner and the group read a file.
pub const READABLE_BY_OTHERS: u32 = 0o004;

/// A file that a flag names.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) flag: &'static str,
    pub(super) path: &'a Path,
}

impl Named<'_> {
    /// A fault of this file.
    pub(super) fn fault(&self, what: impl Display) -> Error {
        Error(format!("{} {}: {what}", self.flag, self.path.display()))
    }

    /// All certificates in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let (text, _) = self.read()?;
        let found = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.malformed(&error))?;
        match found.is_empty() {
            true => Err(self.fault("there is no certificate in it (BEGIN CERTIFICATE)")),
            false => Ok(found),
        }
    }

    /// The one private key in it (PKCS#8, PKCS#1 or SEC1), and what is questionable about the file.
    pub(super) fn private_key(&self) -> Result<(PrivateKeyDer<'static>, Option<String>), Error> {
        let (text, mode) = self.read()?;
        if is_encrypted(&text) {
            return Err(self.fault(
                "the key is encrypted and nobody is there to ask for its passphrase; \
                 decrypt it (openssl pkey -in FILE -out NEW)",
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                self.fault("there is no private key in it (BEGIN PRIVATE KEY)")
            }
            error => self.malformed(&error),
        })?;
        let warning = (mode & READABLE_BY_OTHERS != 0).then(|| {
            let (flag, path) = (self.flag, self.path.display());
            format!("{flag} {path}: every user of this machine can read the key (chmod o-r)")
        });
        Ok((key, warning))
    }

    /// What is in it and its permission bits.
    fn read(&self) -> Result<(Vec<u8>, u32), Error> {
        read_regular(self.path, TLS_FILE_BYTES_MAX).map_err(|what| self.fault(what))
    }

    fn malformed(&self, error: &pem::Error) -> Error {
        self.fault(match error {
            pem::Error::MissingSectionEnd { .. } => "it is cut off: an END line is missing",
            pem::Error::Base64Decode(_) => "what is between its BEGIN and END lines is not base64",
            _ => "it is not PEM",
        })
    }
}

/// What is in a file of a few MiB at the most, and its permission bits; or why it can't be used.
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<(Vec<u8>, u32), String> {
    let unreadable = |error: io::Error| format!("it can't be read: {error}");
    // Opening a pipe would wait for its writer, also when the running server loads it again.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > bytes_max {
        return Err(format!("it is larger than {} MiB", bytes_max >> 20));
    }
    Ok((text, metadata.mode()))
}

/// PKCS#8 (RFC 7468 §11) and the older form that says so in a header (RFC 1421 §4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
}
