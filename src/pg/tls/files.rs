//! The files of certificates, keys and revocation lists, read and checked as libpq does it.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::provider;
use super::roots::{Roots, Unusable};
use crate::limits;
use crate::pg::url::tls::{self as settings, File, Mode, Revocation, Tls};

/// What the files hold.
#[derive(Debug)]
pub struct Material {
    /// Whose certificates are believed; `None` where nothing is verified.
    pub(super) roots: Option<Arc<Roots>>,
    /// The client's certificate with its key.
    pub(super) identity: Option<Arc<CertifiedKey>>,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
}

/// Why a file that a keyword names can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    keyword: &'static str,
    path: PathBuf,
    reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            keyword,
            path,
            reason,
        } = self;
        write!(f, "{keyword} {}: {reason}", path.display())
    }
}

impl std::error::Error for Fault {}

/// Reads everything that the settings name.
pub(super) fn read(tls: &Tls) -> Result<Material, Fault> {
    let mut warnings = Vec::new();
    Ok(Material {
        roots: read_roots(tls, &mut warnings)?,
        identity: match &tls.certificate {
            Some(certificate) => read_identity(tls, certificate, &mut warnings)?,
            None => None,
        },
        warnings,
    })
}

/// The files whose change means that all have to be read again.
pub(super) fn paths(tls: &Tls) -> Vec<&Path> {
    let mut paths = Vec::new();
    if let settings::Roots::File(File { path, .. }) = &tls.roots {
        paths.push(path.as_path());
    }
    let Revocation { file, directory } = &tls.revocation;
    paths.extend(file.as_ref().map(|file| file.path.as_path()));
    // A directory changes with the names in it; lists are put there under new ones.
    paths.extend(directory.as_deref());
    if let Some(settings::Certificate { chain, key }) = &tls.certificate {
        paths.push(&chain.path);
        paths.extend(key.as_deref());
    }
    paths
}

fn read_roots(tls: &Tls, warnings: &mut Vec<String>) -> Result<Option<Arc<Roots>>, Fault> {
    let verifies = tls.mode >= Mode::VerifyCa;
    let file = match &tls.roots {
        settings::Roots::System => {
            if tls.revocation.file.as_ref().is_some_and(|it| it.named)
                || tls.revocation.directory.is_some()
            {
                let reason = "sslcrl and sslcrldir have no effect with sslrootcert=system";
                warnings.push(reason.to_owned());
            }
            return read_system_roots().map(Some);
        }
        settings::Roots::File(file) => file,
        settings::Roots::Nowhere if verifies => {
            let reason = "there is no home directory with a file of roots: name one, or use \
                          sslrootcert=system";
            return Err(fault("sslrootcert", Path::new("root.crt"), reason));
        }
        settings::Roots::Nowhere => return Ok(None),
    };
    let path = &file.path;
    let Some(text) = read_if_there("sslrootcert", path)? else {
        if verifies {
            let reason = "it does not exist: give it, use sslrootcert=system for the machine's trust \
                          store, or an sslmode that doesn't verify";
            return Err(fault("sslrootcert", path, reason));
        }
        if file.named {
            let path = path.display();
            warnings.push(format!(
                "sslrootcert {path}: it does not exist: the server's certificate is not verified"
            ));
        }
        return Ok(None);
    };
    let certificates = certificates("sslrootcert", path, &text)?;
    let lists = read_lists(&tls.revocation, warnings)?;
    match Roots::new(
        format!("sslrootcert {}", path.display()),
        certificates,
        lists,
    ) {
        Ok(roots) => Ok(Some(Arc::new(roots))),
        Err(Unusable::Certificates(reason)) => Err(fault("sslrootcert", path, reason)),
        Err(Unusable::Lists(reason)) => {
            let (keyword, path) = list_place(&tls.revocation);
            Err(fault(keyword, path, reason))
        }
    }
}

fn read_system_roots() -> Result<Arc<Roots>, Fault> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    // One that can't be read is the distribution's business, and no reason to believe no other.
    found.retain(|der| RootCertStore::empty().add(der.clone()).is_ok());
    let path = Path::new("system");
    if found.is_empty() {
        let reason = "the machine's trust store has no certificates: install ca-certificates, or set \
                      SSL_CERT_FILE";
        return Err(fault("sslrootcert", path, reason));
    }
    match Roots::new("the machine's trust store".to_owned(), found, Vec::new()) {
        Ok(roots) => Ok(Arc::new(roots)),
        Err(Unusable::Certificates(reason) | Unusable::Lists(reason)) => {
            Err(fault("sslrootcert", path, reason))
        }
    }
}

/// Where revocation lists come from: the keyword and the path.
pub(super) fn list_place(revocation: &Revocation) -> (&'static str, &Path) {
    match (&revocation.file, &revocation.directory) {
        (_, Some(directory)) => ("sslcrldir", directory),
        (Some(file), None) => ("sslcrl", &file.path),
        (None, None) => ("sslcrl", Path::new("")),
    }
}

fn read_lists(
    revocation: &Revocation,
    warnings: &mut Vec<String>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let mut lists = Vec::new();
    if let Some(File { path, named }) = &revocation.file {
        match read_if_there("sslcrl", path)? {
            Some(text) => lists.extend(parse_lists("sslcrl", path, &text)?),
            // As libpq has it; whoever names a file should hear that it is not there.
            None if *named => warnings.push(format!(
                "sslcrl {}: it does not exist: no certificate counts as revoked",
                path.display()
            )),
            None => {}
        }
    }
    let Some(directory) = &revocation.directory else {
        return Ok(lists);
    };
    let failed = |error: io::Error| fault("sslcrldir", directory, error.to_string());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !is_list_name(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        if let Some(text) = read_if_there("sslcrldir", &path)? {
            lists.extend(parse_lists("sslcrldir", &path, &text)?);
        }
    }
    match lists.is_empty() {
        true => {
            let reason = "no revocation list is in it (openssl rehash names them HASH.r0)";
            Err(fault("sslcrldir", directory, reason))
        }
        false => Ok(lists),
    }
}

/// `0123abcd.r0`: the hash of the issuer's name and a number.
fn is_list_name(name: &str) -> bool {
    name.split_once(".r").is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn parse_lists(
    keyword: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        Ok(_) => Err(fault(
            keyword,
            path,
            "no revocation list (X509 CRL in PEM) is in it",
        )),
        Err(error) => Err(fault(keyword, path, format!("it is not PEM: {error}"))),
    }
}

fn read_identity(
    tls: &Tls,
    certificate: &settings::Certificate,
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<CertifiedKey>>, Fault> {
    let File { path, named } = &certificate.chain;
    let Some(text) = read_if_there("sslcert", path)? else {
        if tls.certificate_required {
            let reason = "it does not exist, and sslcertmode=require asks for it";
            return Err(fault("sslcert", path, reason));
        }
        if *named {
            let path = path.display();
            warnings.push(format!(
                "sslcert {path}: it does not exist: no client certificate is sent"
            ));
        }
        return Ok(None);
    };
    let chain = certificates("sslcert", path, &text)?;
    let Some(key_path) = &certificate.key else {
        return Err(fault(
            "sslcert",
            path,
            "its key is not given: name it by sslkey",
        ));
    };
    let key = read_key(key_path)?;
    let key = provider().key_provider.load_private_key(key).map_err(|_| {
        let reason = "its kind is not supported: RSA of 2048 bits or more, ECDSA P-256 or P-384, \
                      or Ed25519 is";
        fault("sslkey", key_path, reason)
    })?;
    // Not by rustls, which knows no certificates of X.509 version 1.
    let own = Certificate::parse(&chain[0])
        .map_err(|_| fault("sslcert", path, "its first certificate is malformed"))?;
    if key
        .public_key()
        .is_some_and(|public| *public != *own.key.info)
    {
        let reason = format!("it is not the key of sslcert {}", path.display());
        return Err(fault("sslkey", key_path, reason));
    }
    Ok(Some(Arc::new(CertifiedKey::new(chain, key))))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let failed = |reason: &str| fault("sslkey", path, reason);
    let found = match fs::metadata(path) {
        Err(error) if is_absence(&error) => {
            return Err(failed(
                "it does not exist, but its certificate (sslcert) does",
            ));
        }
        found => found.map_err(|error| failed(&error.to_string()))?,
    };
    if !found.is_file() {
        return Err(failed("it is not a regular file"));
    }
    if is_open_to_others(&found) {
        let reason = "others may read it: chmod 600 (or 640 if it belongs to root)";
        return Err(failed(reason));
    }
    let Some(text) = read_if_there("sslkey", path)? else {
        return Err(failed("it does not exist"));
    };
    let contains = |marker: &[u8]| memchr::memmem::find(&text, marker).is_some();
    if contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED") {
        let reason = "it is encrypted, which is not supported (nor is sslpassword): write it out by \
                      openssl pkey";
        return Err(failed(reason));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(_) => PrivateKeyDer::try_from(text).map_err(|_| failed("no private key is in it")),
    }
}

/// libpq's rule: 0600 or less, and 0640 or less for root's, which a group may share.
fn is_open_to_others(found: &Metadata) -> bool {
    let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
    found.mode() & forbidden != 0
}

fn certificates(
    keyword: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(fault(keyword, path, "no certificate (in PEM) is in it")),
        Err(error) => Err(fault(keyword, path, format!("it is not PEM: {error}"))),
    }
}

/// The contents of a file, `None` when there is none.
fn read_if_there(keyword: &'static str, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let failed = |error: io::Error| fault(keyword, path, error.to_string());
    match fs::metadata(path) {
        Err(error) if is_absence(&error) => return Ok(None),
        // Not a pipe either, which could be waited for for ever.
        Ok(found) if !found.is_file() => {
            return Err(fault(keyword, path, "it is not a regular file"));
        }
        Ok(found) if found.len() > limits::CERTIFICATE_FILE_BYTES_MAX => {
            return Err(fault(
                keyword,
                path,
                "it is too large for a file of certificates",
            ));
        }
        found => found.map_err(failed)?,
    };
    match fs::read(path) {
        Err(error) if is_absence(&error) => Ok(None),
        text => text.map(Some).map_err(failed),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn fault(keyword: &'static str, path: &Path, reason: impl Into<String>) -> Fault {
    Fault {
        keyword,
        path: path.to_owned(),
        reason: reason.into(),
    }
}
