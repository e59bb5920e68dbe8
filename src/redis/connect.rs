//! Opening one session: a socket, TLS, who we are, which database, and a first decision, so that a session
//! that can't decide is never used.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::{Cmd, Value, cmd};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::codec::{Codec, Garbage};
use super::script;
use super::url::{Address, Credentials, Target};
use super::{Settings, words};
use crate::limits;
use crate::ring::{Ring, Stream, blocking};
use crate::tls::{Channel, handshake};

/// An open session.
pub(super) struct Session {
    pub(super) channel: Channel,
    pub(super) codec: Codec,
    /// What Redis knows the script by.
    pub(super) hash: String,
}

/// Why there is none, in words that show nothing secret.
pub(super) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error(error.to_string())
    }
}

/// Opens a session, or says why there is none.
pub(super) async fn connect(ring: &Rc<Ring>, settings: &Settings) -> Result<Session, Error> {
    let patience = limits::REDIS_CONNECT_TIMEOUT;
    match within(ring, patience, attempt(ring, settings)).await {
        Some(outcome) => outcome,
        None => Err(Error(format!("no answer within {patience:?}"))),
    }
}

async fn attempt(ring: &Rc<Ring>, settings: &Settings) -> Result<Session, Error> {
    let target = &settings.target;
    let channel = match &target.address {
        Address::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            Channel::Plain(Stream::connect(ring, socket, SockAddr::unix(path)?).await?)
        }
        Address::Tcp {
            host,
            port,
            encrypted,
        } => {
            let stream = open(ring, host, *port).await?;
            match encrypted {
                false => Channel::Plain(stream),
                true => secure(ring, settings, host, stream).await?,
            }
        }
    };
    begin(channel, target).await
}

/// Connects to the first of the host's addresses that answers.
async fn open(ring: &Rc<Ring>, host: &str, port: u16) -> io::Result<Stream> {
    let addresses = match host.parse() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            // The system's resolver blocks.
            let host = host.to_owned();
            let look_up = move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
            blocking(ring, look_up).await??
        }
    };
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        // An idle session is noticed to be cut off, and kept open by what lies between.
        let keepalive = TcpKeepalive::new().with_time(limits::REDIS_KEEPALIVE);
        socket.set_tcp_keepalive(&keepalive)?;
        match Stream::connect(ring, socket, address.into()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The files are read for each session, so that they can be replaced without a restart.
async fn secure(
    ring: &Rc<Ring>,
    settings: &Settings,
    host: &str,
    stream: Stream,
) -> Result<Channel, Error> {
    let files = settings.tls.clone();
    let config = blocking(ring, move || files.load())
        .await?
        .map_err(|error| Error(error.to_string()))?;
    let failed = |reason: String| Error(format!("TLS: {reason}"));
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| failed("the host is no name that a certificate could have".to_owned()))?;
    let session = ClientConnection::new(config, name).map_err(|error| failed(error.to_string()))?;
    let stream = handshake(stream, session)
        .await
        .map_err(|error| failed(error.to_string()))?;
    Ok(Channel::Tls(Box::new(stream)))
}

/// What a new session is for, all of it in one write.
async fn begin(channel: Channel, target: &Target) -> Result<Session, Error> {
    let mut commands: Vec<(Step, Cmd)> = Vec::new();
    if let Some(Credentials { user, password }) = &target.credentials {
        let mut auth = cmd("AUTH");
        auth.arg(user.as_deref()).arg(password);
        commands.push((Step::Authenticate, auth));
    }
    if target.database != 0 {
        let select = cmd("SELECT").arg(target.database).take();
        commands.push((Step::Select, select));
    }
    let name = cmd("CLIENT").arg("SETNAME").arg("pinion").take();
    commands.push((Step::Name, name));
    let load = cmd("SCRIPT").arg("LOAD").arg(script::SOURCE).take();
    commands.push((Step::Load, load));
    commands.push((Step::Probe, script::probe()));
    channel.write_later(|output| {
        for (_, command) in &commands {
            command.write_packed_command(output);
        }
    });
    let mut codec = Codec::new();
    let replies = replies(&channel, &mut codec, commands.len()).await?;
    let mut hash = String::new();
    for ((step, _), reply) in commands.iter().zip(&replies) {
        step.check(reply, &mut hash)?;
    }
    Ok(Session {
        channel,
        codec,
        hash,
    })
}

/// What a command of the beginning is for.
enum Step {
    Authenticate,
    Select,
    Name,
    Load,
    Probe,
}

impl Step {
    /// Whether the session can go on after this reply.
    fn check(&self, reply: &Value, hash: &mut String) -> Result<(), Error> {
        if let Value::ServerError(error) = reply {
            return match self {
                // Only for whoever lists Redis's clients, and an ACL may forbid it.
                Step::Name => Ok(()),
                // Its words could be anything, also what we have sent.
                Step::Authenticate => Err(Error(match error.code() {
                    code @ ("WRONGPASS" | "NOPERM" | "LOADING") => {
                        format!("the user or the password was refused ({code})")
                    }
                    _ => "the user or the password was refused".to_owned(),
                })),
                Step::Select => Err(Error(format!("no such database: {}", words(error)))),
                Step::Load | Step::Probe if error.code() == "NOAUTH" => Err(Error(
                    "Redis asks for a password (NOAUTH): give it in --redis-url".to_owned(),
                )),
                Step::Load | Step::Probe => Err(Error(words(error))),
            };
        }
        let is_good = match (self, reply) {
            (Step::Authenticate | Step::Select | Step::Name, Value::Okay) => true,
            (Step::Load, Value::BulkString(found)) => {
                *hash = String::from_utf8_lossy(found).into_owned();
                found.len() == 40 && found.iter().all(u8::is_ascii_hexdigit)
            }
            (Step::Probe, Value::Array(numbers)) => numbers.len() == 3,
            _ => false,
        };
        match is_good {
            true => Ok(()),
            false => Err(Error(UNEXPECTED.to_owned())),
        }
    }
}

/// For bytes that no Redis would send at this place.
pub(super) const UNEXPECTED: &str = "it answers as Redis does not: is it Redis?";

/// The replies to so many commands, and nothing more.
async fn replies(channel: &Channel, codec: &mut Codec, count: usize) -> Result<Vec<Value>, Error> {
    let mut replies = Vec::new();
    while replies.len() < count {
        match poll_fn(|context| channel.poll_fill(context, 0)).await {
            Ok(true) => {}
            Ok(false) => return Err(Error("it closed the connection".to_owned())),
            Err(error) => return Err(error.into()),
        }
        let decoded = channel.with_input(|input| codec.decode(input, &mut replies));
        channel.consume(channel.unread());
        decoded.map_err(|Garbage| Error(UNEXPECTED.to_owned()))?;
    }
    match replies.len() == count {
        true => Ok(replies),
        false => Err(Error(UNEXPECTED.to_owned())),
    }
}

/// The future's outcome, or `None` when it took too long.
async fn within<T>(
    ring: &Rc<Ring>,
    patience: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(future), ring.sleep(patience)).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}
