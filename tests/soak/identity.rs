//! The certificates of the soak: of the server, which is given others by and by, and of Postgres; and the secret
//! of its tokens.

use std::os::unix::fs::PermissionsExt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::guards::SECRET;
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
        let secret = directory.file("secret", SECRET);
        let own = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(secret, own).expect("a file of one's own");
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

    /// The file with the secret of tokens.
    pub fn secret(&self) -> String {
        let path = self.directory.path().join("secret");
        path.display().to_string()
    }

    pub fn roots(&self) -> RootCertStore {
        self.authority.roots()
    }
}
