//! The keys that an issuer publishes (`jwks_url`), fetched by a thread of their own, never by a core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Instant;

use jsonwebtoken::Algorithm;
use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::channel::{Receiver, Sender, channel};
use crate::guard::auth::JwtKeys;
use crate::limits;

/// Asks for the keys to be fetched again: a token names one that is not known.
#[derive(Clone, Debug)]
pub struct Asker {
    way: Sender<()>,
    /// Somebody has asked, and no fetch has begun since.
    asked: Arc<AtomicBool>,
}

impl Asker {
    /// Never waits. Whoever asks while somebody has asked already is answered with them.
    pub fn ask(&self) {
        if !self.asked.swap(true, Ordering::AcqRel) {
            // The thread ends after the last of these.
            let _ = self.way.send(());
        }
    }
}

/// What is published, and what is known of it.
struct Publication {
    url: String,
    algorithms: Vec<Algorithm>,
    /// What was fetched last and could be used.
    document: Vec<u8>,
    /// What the log was told last, so that it is told once.
    fault: Option<String>,
}

/// Fetches the keys once, and from then on whenever somebody asks, or from time to time. `deliver` is called
/// with keys that are not those that came before. If there are none at first the server starts without.
pub fn start(
    url: &str,
    algorithms: &[Algorithm],
    deliver: impl Fn(Arc<JwtKeys>) + Send + 'static,
) -> std::io::Result<(Asker, Option<Arc<JwtKeys>>)> {
    let mut publication = Publication {
        url: url.to_owned(),
        algorithms: algorithms.to_vec(),
        document: Vec::new(),
        fault: None,
    };
    let first = publication.fetch_and_tell();
    let fetched = Instant::now();
    let (way, questions) = channel();
    let asked = Arc::<AtomicBool>::default();
    let asker = Asker {
        way,
        asked: asked.clone(),
    };
    thread::Builder::new()
        .name("jwks".to_owned())
        .spawn(move || publication.serve(&questions, &asked, fetched, &deliver))?;
    Ok((asker, first))
}

impl Publication {
    fn serve(
        &mut self,
        questions: &Receiver<()>,
        asked: &AtomicBool,
        mut fetched: Instant,
        deliver: &dyn Fn(Arc<JwtKeys>),
    ) {
        loop {
            let pause = match self.document.is_empty() {
                true => limits::JWKS_INTERVAL_MIN, // nobody can be let in as it is
                false => limits::JWKS_REFRESH,
            };
            if questions.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let next = fetched + limits::JWKS_INTERVAL_MIN;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            // What was asked until here is answered by what follows; what is asked during it may not be.
            asked.store(false, Ordering::Release);
            while questions.try_recv().is_ok() {}
            let keys = self.fetch_and_tell();
            fetched = Instant::now();
            if let Some(keys) = keys {
                deliver(keys);
            }
        }
    }

    /// New keys, if there are any. A fault leaves those that are known as they are.
    fn fetch_and_tell(&mut self) -> Option<Arc<JwtKeys>> {
        match self.fetch() {
            Ok(keys) => {
                if self.fault.take().is_some() {
                    tracing::info!(url = self.url, "the keys of tokens can be fetched again");
                }
                if let Some(keys) = &keys {
                    tracing::info!(url = self.url, keys = keys.len(), "keys of tokens fetched");
                }
                keys
            }
            Err(fault) => {
                if self.fault.as_ref() != Some(&fault) {
                    let url = &self.url;
                    tracing::warn!(url, fault, "the keys of tokens stay as they were");
                    self.fault = Some(fault);
                }
                None
            }
        }
    }

    fn fetch(&mut self) -> Result<Option<Arc<JwtKeys>>, String> {
        let document = get(&self.url).map_err(|error| error.to_string())?;
        if document == self.document {
            return Ok(None);
        }
        let keys = JwtKeys::from_jwks(&document, &self.algorithms)?;
        self.document = document;
        Ok(Some(Arc::new(keys)))
    }
}

/// What a URL gives: all of it, in time, from where it says and nowhere else.
fn get(url: &str) -> Result<Vec<u8>, ureq::Error> {
    let is_encrypted = url.starts_with("https:");
    let mut config = Agent::config_builder()
        .timeout_global(Some(limits::JWKS_TIMEOUT))
        .max_redirects(0)
        .https_only(is_encrypted)
        .max_idle_connections(0)
        .user_agent("pinion");
    if is_encrypted {
        // Looked up each time: the machine's authorities change under a running server.
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<Certificate<'static>> = roots
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        config = config.tls_config(tls);
    } else {
        config = config.proxy(None); // this machine is asked itself
    }
    let agent: Agent = config.build().into();
    let mut response = agent
        .get(url)
        .header("accept", "application/jwk-set+json, application/json")
        .call()?;
    if response.status() != 200 {
        return Err(ureq::Error::StatusCode(response.status().as_u16()));
    }
    let body = response.body_mut().with_config();
    body.limit(limits::JWKS_BYTES_MAX).read_to_vec()
}
