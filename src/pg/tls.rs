//! TLS to Postgres, with libpq's settings and libpq's rules (PostgreSQL §34.19).
//!
//! Reading order: `files` reads what the settings name (`url::tls` has checked those), `negotiate`
//! asks the server for TLS and shakes hands, `verify` judges its certificate by the `roots`, with
//! `certificate` for what it says and `name` for whose it is; `binding` is what SCRAM binds the
//! session to, `words` is what a fault is called.

mod binding;
mod certificate;
mod files;
mod name;
mod negotiate;
mod roots;
mod verify;
mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{ServerName, UnixTime};

use super::url::tls::{Roots, Tls};
pub(super) use binding::server_end_point;
pub use files::{Fault, Material};
pub(super) use negotiate::{Insecure, secure};
pub(super) use words::{is_refusal, words};

/// Seconds after which the machine's own trust store is read again: it changes with the packages.
const SYSTEM_ROOTS_AGE_MAX: u64 = 3600;

/// The settings with what their files hold at the moment.
///
/// The files are looked at for every new connection, and read again when one of them has changed or a
/// root has expired: certificates are rotated without a restart, and nobody has to send a signal.
#[derive(Debug)]
pub struct Source {
    /// What the connection string says.
    pub settings: Tls,
    read: Mutex<Option<Read>>,
}

/// Files as they were read.
#[derive(Debug)]
struct Read {
    stamps: Vec<Option<Stamp>>,
    material: Arc<Material>,
    /// When it must no longer be used, in seconds since 1970.
    expires: u64,
}

/// Changes with every change of a file's contents, owner or mode: device, inode, time of the last
/// change of either (seconds and nanoseconds), size.
type Stamp = (u64, u64, i64, i64, u64);

impl Source {
    /// Nothing is read yet.
    pub(super) fn new(settings: Tls) -> Source {
        Source {
            settings,
            read: Mutex::default(),
        }
    }

    /// What the files hold now. Blocks: never to be called on a core.
    pub fn material(&self) -> Result<Arc<Material>, Fault> {
        // A panic in here leaves what was read before, which is still whole.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the files are read: a change meanwhile is seen the next time.
        let stamps: Vec<_> = files::paths(&self.settings)
            .into_iter()
            .map(stamp)
            .collect();
        let now = UnixTime::now().as_secs();
        if let Some(known) = &*read
            && known.stamps == stamps
            && now < known.expires
        {
            return Ok(known.material.clone());
        }
        let material = Arc::new(files::read(&self.settings)?);
        let roots_end = material.roots.as_ref().map_or(i64::MAX, |it| it.expires);
        let mut expires = u64::try_from(roots_end).unwrap_or(0).saturating_add(1);
        if self.settings.roots == Roots::System {
            expires = expires.min(now + SYSTEM_ROOTS_AGE_MAX);
        }
        *read = Some(Read {
            stamps,
            material: material.clone(),
            expires,
        });
        Ok(material)
    }
}

impl Material {
    /// What the operator should know, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    let (seconds, nanoseconds) = (found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), seconds, nanoseconds, found.size()))
}

/// The cryptography of every session to Postgres.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}

/// Stands in for a server's name where rustls is to have none: an address that no server has.
fn nobody() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
