//! What identities are proved with, read from files at the start and on SIGHUP, or fetched.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::jwks::{self, Asker};
use crate::guard::auth::jwt::{self, Source};
use crate::guard::auth::{ApiKeys, JwtKeys, Keys, Settings, api_key};
use crate::limits;
use crate::tls::{READABLE_BY_OTHERS, read_regular};

/// Keys that can't be used, with the setting and the file.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The keys of a running server.
#[derive(Clone)]
pub struct KeyStore {
    settings: Settings,
    keys: Keys,
    asker: Option<Asker>,
    /// Names what fetches the keys that are published.
    source: u64,
}

impl KeyStore {
    /// None, as long as nothing is known of any.
    pub fn empty() -> KeyStore {
        KeyStore {
            settings: Settings::default(),
            keys: Keys::default(),
            asker: None,
            source: 0,
        }
    }

    /// Reads all those of an API that is to be served next. Keys that are published are fetched, or known if
    /// they are those of this one, too; `deliver` gets those that come later, by the name of `source`.
    pub fn next(
        &self,
        settings: &Settings,
        source: u64,
        deliver: impl Fn(Arc<JwtKeys>) + Send + 'static,
    ) -> Result<KeyStore, Error> {
        let mut store = KeyStore {
            settings: settings.clone(),
            source,
            ..KeyStore::empty()
        };
        if let Some(settings) = &settings.api_key {
            store.keys.api_keys = Arc::new(read_api_keys(settings)?);
        }
        let Some(jwt) = &settings.jwt else {
            return Ok(store);
        };
        match &jwt.source {
            Source::JwksUrl(_) if self.publishes(jwt) => {
                store.keys.jwt = self.keys.jwt.clone();
                store.asker.clone_from(&self.asker);
                store.source = self.source;
                // What is published may have changed.
                self.asker.iter().for_each(Asker::ask);
            }
            Source::JwksUrl(url) => {
                let (asker, keys) = jwks::start(url, &jwt.algorithms, deliver)
                    .map_err(|error| Error(format!("no thread for {url}: {error}")))?;
                store.keys.jwt = keys.unwrap_or_default();
                store.asker = Some(asker);
            }
            _ => store.keys.jwt = Arc::new(read_jwt_keys(jwt)?),
        }
        Ok(store)
    }

    /// Whether keys of tokens are fetched from where, and for what, these settings say.
    fn publishes(&self, jwt: &jwt::Settings) -> bool {
        let known = self.settings.jwt.as_ref();
        let is_same = |known: &jwt::Settings| {
            known.source == jwt.source && known.algorithms == jwt.algorithms
        };
        self.asker.is_some() && known.is_some_and(is_same)
    }

    /// As they are now.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whom to ask for keys that are not known, if they are published.
    pub fn asker(&self) -> Option<Asker> {
        self.asker.clone()
    }

    /// Published keys have come. False if they are not those that these settings ask for.
    pub fn take(&mut self, source: u64, jwt: Arc<JwtKeys>) -> bool {
        let is_own = self.asker.is_some() && self.source == source;
        if is_own {
            self.keys.jwt = jwt;
        }
        is_own
    }

    /// Whether there is anything to read again.
    pub fn is_empty(&self) -> bool {
        self.settings.jwt.is_none() && self.settings.api_key.is_none()
    }

    /// Reads the files again, and has those that are published fetched. Of a file with a fault the keys stay
    /// as they were; all faults come back.
    pub fn reload(&mut self) -> Vec<Error> {
        let mut faults = Vec::new();
        if let Some(settings) = &self.settings.api_key {
            match read_api_keys(settings) {
                Ok(keys) => self.keys.api_keys = Arc::new(keys),
                Err(fault) => faults.push(fault),
            }
        }
        match (&self.settings.jwt, &self.asker) {
            (_, Some(asker)) => asker.ask(),
            (Some(settings), None) => match read_jwt_keys(settings) {
                Ok(keys) => self.keys.jwt = Arc::new(keys),
                Err(fault) => faults.push(fault),
            },
            (None, None) => {}
        }
        faults
    }
}

fn read_api_keys(settings: &api_key::Settings) -> Result<ApiKeys, Error> {
    let fault = |what: String| named("[auth.api_key] hashes_file", &settings.hashes_file, &what);
    let (bytes, _) = read(&settings.hashes_file).map_err(fault)?;
    let text = String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8".to_owned()))?;
    let keys = ApiKeys::parse(&text).map_err(|faults| fault(faults.join("; ")))?;
    if keys.is_empty() {
        let what = fault("there is no key in it: every API key is refused".to_owned());
        tracing::warn!("{what}");
    }
    Ok(keys)
}

fn read_jwt_keys(settings: &jwt::Settings) -> Result<JwtKeys, Error> {
    type Parse = fn(&[u8], &[jsonwebtoken::Algorithm]) -> Result<JwtKeys, String>;
    let (setting, path, parse): (_, _, Parse) = match &settings.source {
        Source::SecretFile(path) => ("[auth.jwt] secret_file", path, JwtKeys::from_secret),
        Source::PublicKeyFile(path) => (
            "[auth.jwt] public_key_file",
            path,
            JwtKeys::from_public_keys,
        ),
        Source::JwksFile(path) => ("[auth.jwt] jwks_file", path, JwtKeys::from_jwks),
        Source::JwksUrl(_) => return Ok(JwtKeys::default()), // they are not in a file
    };
    let fault = |what: String| named(setting, path, &what);
    let (bytes, mode) = read(path).map_err(fault)?;
    let keys = parse(&bytes, &settings.algorithms).map_err(fault)?;
    let is_secret = matches!(settings.source, Source::SecretFile(_));
    if is_secret && mode & READABLE_BY_OTHERS != 0 {
        let what = "every user of this machine can read the secret (chmod o-r)".to_owned();
        tracing::warn!("{}", fault(what));
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<(Vec<u8>, u32), String> {
    read_regular(path, limits::AUTH_FILE_BYTES_MAX)
}

fn named(setting: &str, path: &Path, what: &str) -> Error {
    Error(format!("{setting} {}: {what}", path.display()))
}
