//! Opening one connection to Postgres over the core's ring.
//!
//! tokio-postgres's `connect_raw` leaves hosts, timeouts, keepalives, nodelay and
//! `target_session_attrs` to whoever brings the stream: that is done here, and TLS is by `tls`.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{Client, Connection, SimpleQueryMessage};

use super::channel::Channel;
use super::tls::{self, Insecure};
use super::url::tls::Mode;
use super::url::{Address, Host, Target, TargetSessionAttrs, TcpOptions};
use super::wire::{Tap, Wire};
use crate::limits;
use crate::random::random;
use crate::ring::{Ring, Stream, blocking};

/// A session and the future that drives it.
pub type Connected = (Session, Connection<Tap, Tap>);

/// An open session of Postgres: tokio-postgres's client, for what is done now and then, and the wire
/// below it, for the routes' statements.
pub struct Session {
    /// Prepares statements, and closes those that are dropped.
    pub client: Client,
    pub(super) wire: Rc<Wire>,
    /// Where in the target's hosts it is, and whether it is encrypted: its cancellations go there,
    /// in the same way.
    pub(super) host: usize,
    encrypted: bool,
}

impl Session {
    /// Whether nothing can be sent any more.
    pub(super) fn is_ended(&self) -> bool {
        self.wire.is_ended()
    }
}

/// Why there is no connection, without anything secret.
#[derive(Debug)]
pub enum Error {
    /// The server can't be reached, or went away: trying again may help.
    Unreachable(String),
    /// The server answered, and refused: its SQLSTATE and message.
    Refused {
        /// Postgres appendix A.
        state: String,
        /// Postgres's words.
        message: String,
    },
    /// The server is not of the kind that `target_session_attrs` asks for.
    WrongKind(&'static str),
    /// The session is not as secure as the settings want it.
    Insecure {
        /// What is wrong, and what helps.
        reason: String,
        /// Whether trying again may help.
        moment: bool,
    },
    /// Neither with TLS nor without, where the settings leave it open.
    Both {
        /// What came first.
        first: Box<Error>,
        /// What came of the other way.
        second: Box<Error>,
        /// How the second was tried.
        way: &'static str,
    },
}

impl Error {
    /// Whether the settings are at fault rather than the moment: a wrong password, an unknown
    /// user or database. Waiting doesn't mend these.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::Refused { state, .. } => state.starts_with("28") || state == "3D000",
            Error::Insecure { moment, .. } => !moment,
            Error::Both { first, second, .. } => {
                first.is_configuration() || second.is_configuration()
            }
            Error::Unreachable(_) | Error::WrongKind(_) => false,
        }
    }

    /// Whether the server's rules (pg_hba.conf) or the password are against the session: another one
    /// may be taken.
    fn is_refusal(&self) -> bool {
        matches!(self, Error::Refused { state, .. } if state.starts_with("28"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(reason) => formatter.write_str(reason),
            Error::Refused { state, message } => write!(formatter, "{message} ({state})"),
            Error::WrongKind(wanted) => write!(formatter, "the server is not {wanted}"),
            Error::Insecure { reason, .. } => formatter.write_str(reason),
            Error::Both { first, second, way } => write!(formatter, "{first}; {way}: {second}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(refusal) => Error::Refused {
                state: refusal.code().code().to_owned(),
                message: refusal.message().to_owned(),
            },
            None if asks_for_password(&error) => Error::Refused {
                state: "28P01".to_owned(),
                message: NO_PASSWORD.to_owned(),
            },
            None if is_unbound(&error) => Error::Insecure {
                reason: NOT_BOUND.to_owned(),
                moment: false,
            },
            None => Error::Unreachable(chain(&error)),
        }
    }
}

const NO_PASSWORD: &str = "Postgres asks for a password: give it in the database URL, in \
                           PGPASSWORD or in ~/.pgpass";

const NOT_BOUND: &str = "channel_binding=require, but the server did not bind the session to its \
                         certificate: that takes TLS and scram-sha-256";

/// The driver's own fault when it has no password to give, which has no kind that could be asked for.
fn asks_for_password(error: &tokio_postgres::Error) -> bool {
    is_caused_by(error, "password missing")
}

/// The same for a session without channel binding.
fn is_unbound(error: &tokio_postgres::Error) -> bool {
    is_caused_by(error, "server did not use channel binding")
}

fn is_caused_by(error: &tokio_postgres::Error, words: &str) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string() == words)
}

/// Connects to the first host that answers and is of the wanted kind. `statement_timeout` (zero
/// for none) and the formats that rows are encoded from go into the start-up options, so that they
/// cost no round trip.
pub async fn connect(
    ring: &Rc<Ring>,
    target: &Target,
    statement_timeout: Duration,
) -> Result<Connected, Error> {
    use TargetSessionAttrs::{Any, PreferStandby, Standby};
    match target.target_session_attrs {
        PreferStandby => match connect_any(ring, target, statement_timeout, Standby).await {
            Ok(connected) => Ok(connected),
            Err(_) => connect_any(ring, target, statement_timeout, Any).await,
        },
        wanted => connect_any(ring, target, statement_timeout, wanted).await,
    }
}

async fn connect_any(
    ring: &Rc<Ring>,
    target: &Target,
    statement_timeout: Duration,
    wanted: TargetSessionAttrs,
) -> Result<Connected, Error> {
    let patience = target.connect_timeout.unwrap_or(limits::CONNECT_TIMEOUT);
    let count = target.hosts.len();
    let first = match target.load_balance_hosts {
        true => random() as usize % count,
        false => 0,
    };
    let mut last = Error::Unreachable("no host is given".to_owned());
    for step in 0..count {
        let index = (first + step) % count;
        let host = &target.hosts[index];
        let way = Way {
            ring,
            target,
            index,
            host,
        };
        let attempt = way.connect(statement_timeout, wanted);
        match within(ring, patience, attempt).await {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => last = error,
            None => {
                let address = &host.address;
                last = Error::Unreachable(format!("{address}: no answer within {patience:?}"));
            }
        }
    }
    Err(last)
}

/// Whether a server says anything at all to whoever asks for a connection, be it a refusal. `host` is its
/// place in the target's hosts.
pub(super) async fn answers(ring: &Rc<Ring>, target: &Target, host: usize) -> bool {
    let way = Way {
        ring,
        target,
        index: host,
        host: &target.hosts[host],
    };
    let attempt = way.connect(Duration::ZERO, TargetSessionAttrs::Any);
    let outcome = within(ring, limits::CONNECT_TIMEOUT, attempt).await;
    !matches!(outcome, None | Some(Err(Error::Unreachable(_))))
}

/// One host, and how to get there.
struct Way<'a> {
    ring: &'a Rc<Ring>,
    target: &'a Target,
    index: usize,
    host: &'a Host,
}

/// Why an attempt failed.
struct Failed {
    error: Error,
    /// Whether libpq would now try it the other way: without TLS, or with it.
    try_other: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed {
            error,
            try_other: false,
        }
    }
}

impl Way<'_> {
    /// Opens a session, encrypted as `sslmode` says (PostgreSQL §34.19.3, table 34.1).
    async fn connect(
        &self,
        statement_timeout: Duration,
        wanted: TargetSessionAttrs,
    ) -> Result<Connected, Error> {
        let encrypted = self.mode() >= Mode::Prefer;
        let (first, try_other) = match self.session(encrypted, statement_timeout, wanted).await {
            Ok(connected) => return Ok(connected),
            Err(Failed { error, try_other }) => (error, try_other),
        };
        if !try_other {
            return Err(first);
        }
        let other = self.session(!encrypted, statement_timeout, wanted).await;
        other.map_err(|Failed { error, .. }| Error::Both {
            first: first.into(),
            second: error.into(),
            way: if encrypted { "without TLS" } else { "with TLS" },
        })
    }

    /// Sessions over unix sockets are never encrypted.
    fn mode(&self) -> Mode {
        match self.host.address {
            Address::Unix(_) => Mode::Disable,
            Address::Tcp { .. } => self.target.tls.settings.mode,
        }
    }

    async fn session(
        &self,
        encrypted: bool,
        statement_timeout: Duration,
        wanted: TargetSessionAttrs,
    ) -> Result<Connected, Failed> {
        let (channel, certificate_sent) = self.open(encrypted).await?;
        let encrypted = channel.is_encrypted();
        let wire = Wire::new(channel);
        let mut config = self.target.config(self.host);
        config.options(options(config.get_options(), statement_timeout));
        as_it_is(&mut config);
        let opened = config.connect_raw(wire.tap(), AsItIs).await;
        let (client, mut connection) = opened.map_err(|error| {
            let error = start_error(error, &wire);
            let try_other = error.is_refusal() && self.may_try_other(encrypted);
            Failed { error, try_other }
        })?;
        if self.target.tls.settings.certificate_required && !certificate_sent {
            return Err(insecure(
                "sslcertmode=require, but the server has not asked for a client certificate",
            )
            .into());
        }
        if wanted != TargetSessionAttrs::Any {
            check_kind(&client, &mut connection, wanted)
                .await
                .map_err(Failed::from)?;
        }
        let session = Session {
            client,
            wire,
            host: self.index,
            encrypted,
        };
        Ok((session, connection))
    }

    /// A channel for a session, encrypted if it is to be and the server has TLS; and whether a client
    /// certificate was sent.
    async fn open(&self, encrypted: bool) -> Result<(Channel, bool), Failed> {
        let Way {
            ring, target, host, ..
        } = self;
        let address = &host.address;
        let stream = open(ring, &target.tcp, address)
            .await
            .map_err(|error| Error::Unreachable(format!("{address}: {error}")))?;
        if !encrypted {
            return Ok((stream.into(), false));
        }
        match tls::secure(ring, &target.tls, host.name.as_deref(), stream).await {
            Ok(secured) => Ok((secured.channel, secured.certificate_sent)),
            Err(Insecure::Unasked(reason)) => {
                Err(Error::Unreachable(format!("{address}: {reason}")).into())
            }
            Err(Insecure::Failed { reason, moment }) => Err(Failed {
                error: Error::Insecure {
                    reason: format!("{address}: {reason}"),
                    moment,
                },
                try_other: self.mode() == Mode::Prefer,
            }),
        }
    }

    /// Whether the mode leaves room for a session of the other kind.
    fn may_try_other(&self, encrypted: bool) -> bool {
        match self.mode() {
            Mode::Allow => !encrypted,
            Mode::Prefer => encrypted,
            _ => false,
        }
    }
}

fn insecure(reason: &str) -> Error {
    Error::Insecure {
        reason: reason.to_owned(),
        moment: false,
    }
}

/// Why the session did not begin: what the driver says, unless it only saw the wire end.
fn start_error(error: tokio_postgres::Error, wire: &Wire) -> Error {
    match wire.ended() {
        Some(words) if error.is_closed() && wire.is_refused() => insecure(&words),
        Some(words) if error.is_closed() => Error::Unreachable(words.to_string()),
        _ => error.into(),
    }
}

/// Makes tokio-postgres take the stream as it is, with its channel binding if it has one: direct
/// negotiation begins with the connector.
fn as_it_is(config: &mut tokio_postgres::Config) {
    config.ssl_mode(SslMode::Require);
    config.ssl_negotiation(SslNegotiation::Direct);
}

/// The connector that goes with [`as_it_is`].
struct AsItIs;

impl TlsConnect<Tap> for AsItIs {
    type Stream = Tap;
    type Error = Infallible;
    type Future = Ready<Result<Tap, Infallible>>;

    fn connect(self, tap: Tap) -> Self::Future {
        ready(Ok(tap))
    }
}

/// Sends a cancellation to where the session is, encrypted if the session is.
pub async fn cancel(ring: &Rc<Ring>, target: &Target, session: &Session) -> Result<(), Error> {
    let way = Way {
        ring,
        target,
        index: session.host,
        host: &target.hosts[session.host],
    };
    let attempt = async {
        let (channel, _) = way.open(session.encrypted).await.map_err(|it| it.error)?;
        let token = session.client.cancel_token();
        token
            .cancel_query_raw(Wire::new(channel).tap(), AsItIs)
            .await?;
        Ok(())
    };
    match within(ring, limits::CONNECT_TIMEOUT, attempt).await {
        Some(outcome) => outcome,
        None => Err(Error::Unreachable("no answer".to_owned())),
    }
}

/// The start-up options (Postgres §54.2.1): the user's own, then ours.
fn options(users: Option<&str>, statement_timeout: Duration) -> String {
    // The encoder turns binary columns into what row_to_json prints under these settings.
    const FORMATS: &str = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres \
                           -c bytea_output=hex";
    format!(
        "{} {FORMATS} -c statement_timeout={}",
        users.unwrap_or(""),
        statement_timeout.as_millis()
    )
    .trim_start()
    .to_owned()
}

async fn open(ring: &Rc<Ring>, tcp: &TcpOptions, address: &Address) -> io::Result<Stream> {
    match address {
        Address::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            Stream::connect(ring, socket, SockAddr::unix(path)?).await
        }
        Address::Tcp { host, port } => {
            let mut last = io::Error::other("the name has no address");
            for address in resolve(ring, host, *port).await? {
                let socket = tcp_socket(tcp, address)?;
                match Stream::connect(ring, socket, address.into()).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

/// Numeric addresses are taken as they are; names are looked up away from the core, as the
/// system's resolver blocks.
async fn resolve(ring: &Rc<Ring>, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    blocking(ring, move || {
        std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)).map(Iterator::collect)
    })
    .await?
}

fn tcp_socket(options: &TcpOptions, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    if options.keepalives {
        socket.set_keepalive(true)?;
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = options.keepalives_idle {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = options.keepalives_interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = options.keepalives_count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(socket)
}

/// Asks the server whether it is of the wanted kind (libpq, `target_session_attrs`).
async fn check_kind(
    client: &Client,
    connection: &mut Connection<Tap, Tap>,
    wanted: TargetSessionAttrs,
) -> Result<(), Error> {
    let question = client.simple_query(
        "select current_setting('transaction_read_only') = 'on', pg_is_in_recovery()",
    );
    let answer = match select(std::pin::pin!(question), connection).await {
        Either::Left((answer, _)) => answer?,
        Either::Right((Err(error), _)) => return Err(error.into()),
        Either::Right((Ok(()), _)) => {
            return Err(Error::Unreachable("the connection was closed".to_owned()));
        }
    };
    let [read_only, recovering] = [0, 1].map(|column| {
        answer.iter().any(|message| {
            matches!(message, SimpleQueryMessage::Row(row) if row.get(column) == Some("t"))
        })
    });
    match wanted {
        TargetSessionAttrs::ReadWrite if read_only => Err(Error::WrongKind("read-write")),
        TargetSessionAttrs::ReadOnly if !read_only => Err(Error::WrongKind("read-only")),
        TargetSessionAttrs::Primary if recovering => Err(Error::WrongKind("a primary")),
        TargetSessionAttrs::Standby if !recovering => Err(Error::WrongKind("a standby")),
        _ => Ok(()),
    }
}

/// The future's outcome, or `None` when it took too long.
pub(super) async fn within<T>(
    ring: &Rc<Ring>,
    patience: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    match select(std::pin::pin!(future), ring.sleep(patience)).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !line.ends_with(&words) {
            line = format!("{line}: {words}");
        }
        cause = next.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_options_come_first_and_ours_win() {
        let both = options(Some("-c work_mem=8MB"), Duration::from_millis(500));
        assert!(
            both.starts_with("-c work_mem=8MB -c TimeZone=UTC"),
            "{both}"
        );
        assert!(both.ends_with("-c statement_timeout=500"), "{both}");
        assert!(options(None, Duration::ZERO).starts_with("-c TimeZone=UTC"));
    }

    #[test]
    fn a_wrong_password_is_the_settings_fault_and_a_full_server_is_not() {
        let refused = |state: &str| Error::Refused {
            state: state.to_owned(),
            message: String::new(),
        };
        assert!(refused("28P01").is_configuration());
        assert!(refused("3D000").is_configuration());
        assert!(!refused("53300").is_configuration());
        assert!(!Error::Unreachable(String::new()).is_configuration());
    }
}
