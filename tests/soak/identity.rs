//! The certificates of the soak: of the server, which is given others by and by, and of Postgres.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::support::TempDir;
use crate::support::certificates::{Authority, Issued, Leaf};

/// An authority and what the server shows of it.
pub struct Identity {
    authority: Authority,
    directory: TempDir,
    shown: Issued,
    serial: u64,
}

impl Identity {
    pub fn new() -> Identity {
        let authority = Authority::new("Root of the soak");
        let directory = TempDir::new();
        authority.file(&directory, "root.crt");
        let shown = authority.issue(&Leaf::default());
        shown.files(&directory, "server");
        Identity {
            authority,
            directory,
            shown,
            serial: 1,
        }
    }

    /// Puts another certificate and its key in the place of those before.
    pub fn renew(&mut self) {
        self.serial += 1;
        self.shown = self.authority.issue(&Leaf {
            serial: self.serial,
            ..Leaf::default()
        });
        self.shown.files(&self.directory, "server");
    }

    /// Whether it is the certificate of now.
    pub fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        self.shown.chain.first() == Some(certificate)
    }

    /// A certificate for anybody else on this machine.
    pub fn issue(&self) -> Issued {
        self.authority.issue(&Leaf::default())
    }

    /// The files of the root, the server's certificate and its key.
    pub fn files(&self) -> [String; 3] {
        let path = |name| self.directory.path().join(name).display().to_string();
        ["root.crt", "server.crt", "server.key"].map(path)
    }

    pub fn roots(&self) -> RootCertStore {
        self.authority.roots()
    }
}
