//! Certificates made for one test: an authority, what it issues, and the files of both.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TempDir;

/// Who issues certificates: a root, or below another one.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Certificates between those that it issues and the root, its own first; none for a root.
    intermediates: Vec<(CertificateDer<'static>, String)>,
}

/// What a certificate is to say. The default: for a server named localhost, valid, P-256.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// Host names and addresses.
    pub names: &'a [&'a str],
    pub validity: Validity,
    pub key: Key,
    pub usage: Usage,
    /// Its serial number, by which a test can tell it from another.
    pub serial: u64,
}

#[derive(Clone, Copy)]
pub enum Validity {
    Now,
    Past,
    Future,
    /// For three more days.
    Soon,
}

#[derive(Clone, Copy, Debug)]
pub enum Key {
    P256,
    P384,
    Ed25519,
    Rsa2048,
}

#[derive(Clone, Copy)]
pub enum Usage {
    Server,
    Client,
}

/// A certificate and its key.
pub struct Issued {
    /// Its own first, then those between it and the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The same as text.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: String,
    key_der: Vec<u8>,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Leaf {
            names: &["localhost", "127.0.0.1", "::1"],
            validity: Validity::Now,
            key: Key::P256,
            usage: Usage::Server,
            serial: 1,
        }
    }
}

impl Authority {
    /// A root of this name.
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(authority(name), key).expect("a certificate");
        Authority {
            issuer,
            intermediates: Vec::new(),
        }
    }

    /// An authority below this one.
    pub fn below(&self, name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::signed_by(authority(name), key, &self.issuer);
        let issuer = issuer.expect("a certificate");
        let own = (issuer.der().clone(), issuer.pem());
        let intermediates = [vec![own], self.intermediates.clone()].concat();
        Authority {
            issuer,
            intermediates,
        }
    }

    pub fn issue(&self, leaf: &Leaf<'_>) -> Issued {
        let names: Vec<String> = leaf.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        (params.not_before, params.not_after) = match leaf.validity {
            Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2999, 1, 1)),
            Validity::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Validity::Soon => {
                let end = SystemTime::now() + Duration::from_secs(3 * 24 * 3600);
                (date_time_ymd(2020, 1, 1), end.into())
            }
            Validity::Future => (date_time_ymd(2998, 1, 1), date_time_ymd(2999, 1, 1)),
        };
        let common_name = leaf.names.first().copied().unwrap_or_default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.serial_number = Some(SerialNumber::from_slice(&leaf.serial.to_be_bytes()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match leaf.usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = leaf.key.generate();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let own = (certificate.der().clone(), certificate.pem());
        let (chain, texts): (Vec<_>, Vec<_>) = [vec![own], self.intermediates.clone()]
            .concat()
            .into_iter()
            .unzip();
        Issued {
            chain,
            chain_pem: texts.concat(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The list of what it has revoked, by serial number.
    pub fn revocation_list(&self, serials: &[u64]) -> String {
        let day = date_time_ymd(2020, 1, 1);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial.to_be_bytes()),
            revocation_time: day,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: day,
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a list");
        list.pem().expect("text")
    }

    /// What a rustls peer that trusts this authority alone is given.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }

    /// Writes its certificate and tells where.
    pub fn file(&self, directory: &TempDir, name: &str) -> PathBuf {
        directory.file(name, &self.pem())
    }
}

impl Issued {
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }

    /// Writes `STEM.crt` and `STEM.key`, the key readable by its owner alone, and tells where.
    pub fn files(&self, directory: &TempDir, stem: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.file(&format!("{stem}.crt"), &self.chain_pem);
        let key = directory.file(&format!("{stem}.key"), &self.key_pem);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, private).expect("its permissions");
        (certificate, key)
    }
}

impl Key {
    fn generate(self) -> KeyPair {
        match self {
            Key::P256 => KeyPair::generate(),
            Key::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Key::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Key::Rsa2048 => KeyPair::from_pem(&openssl(
                &[
                    "genpkey",
                    "-algorithm",
                    "RSA",
                    "-pkeyopt",
                    "rsa_keygen_bits:2048",
                ],
                "",
            )),
        }
        .expect("a key")
    }
}

/// Runs `openssl` with `input` and gives what it prints.
pub fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tests need openssl");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("its output");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
