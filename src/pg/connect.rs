//! Opening one connection to Postgres over the core's ring.
//!
//! tokio-postgres's `connect_raw` leaves hosts, timeouts, keepalives, nodelay and
//! `target_session_attrs` to whoever brings the stream: that is done here, and TLS is by `tls`.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{Client, Connection, SimpleQueryMessage};

use super::tls::{self, Insecure};
use super::url::tls::Mode;
use super::url::{Address, Host, Target, TargetSessionAttrs};
use super::wire::{Tap, Wire};
use crate::limits;
use crate::random::random;
use crate::ring::Ring;
use crate::tls::Channel;
pub use error::Error;
pub(crate) use error::chain;
use error::{insecure, start_error};
use socket::open;

mod error;
mod socket;

/// A session and the future that drives it.
pub type Connected = (Session, Connection<Tap, Tap>);

/// An open session of Postgres: tokio-postgres's client, for what is done now and then, and the wire
/// below it, for the routes' statements.
pub struct Session {
    /// Prepares statements, and closes those that are dropped.
    pub client: Client,
    pub(super) wire: Rc<Wire>,
    /// Whose it is: its cancellations go there.
    pub(super) host: Host,
    /// Whether it is encrypted: so are they.
    encrypted: bool,
}

impl Session {
    /// Whether nothing can be sent any more.
    pub(super) fn is_ended(&self) -> bool {
        self.wire.is_ended()
    }
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
        let host = &target.hosts[(first + step) % count];
        let attempt = connect_host(ring, target, host, statement_timeout, wanted);
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

async fn connect_host(
    ring: &Rc<Ring>,
    target: &Target,
    host: &Host,
    statement_timeout: Duration,
    wanted: TargetSessionAttrs,
) -> Result<Connected, Error> {
    let way = Way { ring, target, host };
    way.connect(statement_timeout, wanted).await
}

/// Whether a server says anything at all to whoever asks for a connection, be it a refusal.
pub(super) async fn answers(ring: &Rc<Ring>, target: &Target, host: &Host) -> bool {
    let any = TargetSessionAttrs::Any;
    let attempt = connect_host(ring, target, host, Duration::ZERO, any);
    let outcome = within(ring, limits::CONNECT_TIMEOUT, attempt).await;
    !matches!(outcome, None | Some(Err(Error::Unreachable(_))))
}

/// One host, and how to get there.
struct Way<'a> {
    ring: &'a Rc<Ring>,
    target: &'a Target,
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
            host: self.host.clone(),
            encrypted,
        };
        Ok((session, connection))
    }

    /// A channel for a session, encrypted if it is to be and the server has TLS; and whether a client
    /// certificate was sent.
    async fn open(&self, encrypted: bool) -> Result<(Channel, bool), Failed> {
        let Way { ring, target, host } = self;
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
    let host = &session.host;
    let way = Way { ring, target, host };
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
}
