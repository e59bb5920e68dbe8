//! The ways to the server: plain, and over TLS of either version, with new sessions and resumed ones.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};

use crate::support::random::Random;

/// How a client speaks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Plain,
    Tls,
}

/// Where both of them lead, and what clients know of the server.
pub struct Ways {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    /// Of each version: one that resumes sessions, of whichever client, and one that does not.
    configs: Vec<Arc<ClientConfig>>,
    full: AtomicUsize,
    resumed: AtomicUsize,
}

impl Ways {
    /// To a server whose certificate this root has issued.
    pub fn new(plain: SocketAddr, tls: SocketAddr, roots: &RootCertStore) -> Ways {
        let config = |version, resumption: Option<Resumption>| {
            let provider = Arc::new(ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            let builder = builder.with_protocol_versions(&[version]).expect("it");
            let builder = builder.with_root_certificates(roots.clone());
            let mut config = builder.with_no_client_auth();
            config.resumption = resumption.unwrap_or(config.resumption);
            Arc::new(config)
        };
        let versions = [&TLS12, &TLS13].into_iter();
        let configs = versions.flat_map(|version| {
            [
                config(version, None),
                config(version, Some(Resumption::disabled())),
            ]
        });
        Ways {
            plain,
            tls,
            configs: configs.collect(),
            full: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
        }
    }

    pub fn address(&self, way: Way) -> SocketAddr {
        match way {
            Way::Plain => self.plain,
            Way::Tls => self.tls,
        }
    }

    /// A session that has not begun.
    pub fn session(&self, random: &mut Random) -> Session {
        let name = ServerName::from(self.tls.ip());
        let config = random.pick(&self.configs).clone();
        Session(ClientConnection::new(config, name).expect("a session"))
    }

    /// Sessions that were begun anew, and those that were resumed.
    pub fn handshakes(&self) -> (usize, usize) {
        let [full, resumed] = [&self.full, &self.resumed].map(|it| it.load(Ordering::Relaxed));
        (full, resumed)
    }

    pub fn count(&self, session: &Session) {
        let counter = match session.0.handshake_kind() {
            Some(HandshakeKind::Resumed) => &self.resumed,
            _ => &self.full,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A session of TLS. Unlike [`rustls::Stream`], it reads what has come when it can't write any more.
pub struct Session(ClientConnection);

impl Session {
    /// The bytes that it begins with.
    pub fn hello(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut bytes).expect("memory takes all");
        }
        bytes
    }

    pub fn shake_hands(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        loop {
            self.flush(socket)?;
            if !self.0.is_handshaking() {
                return Ok(());
            }
            self.receive(&mut socket)?;
        }
    }

    /// The certificate of the server.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.0.peer_certificates()?.first()
    }

    pub fn write(&mut self, socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = io::Write::write(&mut self.0.writer(), rest)?;
            self.flush(socket)?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Says that no more will come.
    pub fn say_end(&mut self, socket: &TcpStream) -> io::Result<()> {
        self.0.send_close_notify();
        self.flush(socket)
    }

    /// 0 when the server has said that no more will come; that it ends without is an error,
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof).
    pub fn read(&mut self, mut socket: &TcpStream, part: &mut [u8]) -> io::Result<usize> {
        loop {
            match io::Read::read(&mut self.0.reader(), part) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.receive(&mut socket)?,
                other => return other,
            }
        }
    }

    fn receive(&mut self, socket: &mut &TcpStream) -> io::Result<()> {
        // At the end of the stream, the session's reader or `is_handshaking` would go on for ever.
        if self.0.read_tls(socket)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = self.0.process_new_packets() {
            let _ = self.flush(socket); // the alert
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(())
    }

    fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(&mut socket)?;
        }
        Ok(())
    }
}
