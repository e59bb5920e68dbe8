//! The sockets of the admin port, and the threads that answer there.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Subject;
use super::connection::{self, Socket};
use crate::config::AdminAddress;
use crate::limits;
use crate::server::listener::{SocketFile, remove_stale};

/// How long an accepting thread pauses after a fault, of descriptors that have run out above all.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it looks whether another process has taken over.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// An address that can't be listened on, and what to do about it.
#[derive(Debug)]
pub struct Error {
    address: String,
    source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { address, source } = self;
        write!(formatter, "--admin: can't listen on {address}: {source}")?;
        match source.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists => write!(
                formatter,
                "; another server has it: choose another --admin address, or --admin off"
            ),
            io::ErrorKind::NotFound => write!(formatter, "; its directory has to exist"),
            io::ErrorKind::AddrNotAvailable => {
                write!(formatter, "; no interface of this host has that address")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Sockets that listen; who connects waits until [`Bound::serve`].
pub struct Bound {
    /// Where, as URLs, with the ports that the kernel chose.
    pub addresses: Vec<String>,
    /// By what they are called when they are handed over.
    doors: Vec<(String, Arc<Door>)>,
    /// Removed in the end.
    file: Option<SocketFile>,
    /// The path of a socket that was handed over: its file is the other process's until this one answers.
    lent: Option<PathBuf>,
    /// Another process answers.
    left: Arc<AtomicBool>,
}

fn name(address: &impl fmt::Display) -> String {
    format!("admin {address}")
}

enum Door {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener),
}

/// Binds where the flags say, but for what has been `given` by the name of an address.
pub fn bind(
    address: &AdminAddress,
    mut given: impl FnMut(&str) -> Option<OwnedFd>,
) -> Result<Bound, Error> {
    let mut bound = Bound {
        addresses: Vec::new(),
        doors: Vec::new(),
        file: None,
        lent: None,
        left: Arc::default(),
    };
    match address {
        AdminAddress::Tcp(addresses, _) => {
            for address in addresses {
                let given = given(&name(address));
                bound.tcp(*address, given).map_err(|source| Error {
                    address: format!("http://{address}"),
                    source,
                })?;
            }
        }
        AdminAddress::Unix(path) => {
            let given = given(&name(&path.display()));
            bound.unix(path, given).map_err(|source| Error {
                address: format!("unix:{}", path.display()),
                source,
            })?;
        }
    }
    Ok(bound)
}

impl Bound {
    fn tcp(&mut self, address: SocketAddr, given: Option<OwnedFd>) -> io::Result<()> {
        let name = name(&address);
        let listener = match given {
            Some(socket) => TcpListener::from(socket),
            // Without SO_REUSEPORT: a second server there is refused.
            None => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "--admin {address}: whoever reaches it over the network may read all of it"
            );
        }
        self.addresses.push(format!("http://{address}"));
        self.doors
            .push((name, Arc::new(Door::Tcp(listener, address))));
        Ok(())
    }

    fn unix(&mut self, path: &PathBuf, given: Option<OwnedFd>) -> io::Result<()> {
        let listener = match given {
            Some(socket) => {
                self.lent = Some(path.clone());
                UnixListener::from(socket)
            }
            None => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                self.file = Some(SocketFile::of(path)?);
                listener
            }
        };
        listener.set_nonblocking(true)?;
        self.addresses.push(format!("unix:{}", path.display()));
        let name = name(&path.display());
        self.doors.push((name, Arc::new(Door::Unix(listener))));
        Ok(())
    }

    /// Gives each socket once more, with its name, to be handed over.
    pub fn share(&self, mut take: impl FnMut(String, OwnedFd)) -> io::Result<()> {
        for (name, door) in &self.doors {
            take(name.clone(), door.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Answers from now on, for as long as the process lives or until it is left.
    pub fn serve(&mut self, subject: &Arc<Subject>) -> io::Result<()> {
        if let Some(path) = self.lent.take() {
            self.file = Some(SocketFile::of(&path)?);
        }
        let places = Arc::<Places>::default();
        for (_, door) in &self.doors {
            let (subject, places) = (subject.clone(), places.clone());
            let (door, left) = (door.clone(), self.left.clone());
            thread::Builder::new()
                .name("admin".to_owned())
                .spawn(move || {
                    let mut is_told = false;
                    while !left.load(Ordering::Acquire) {
                        let answered = door.answer_one(&subject, &places, &left);
                        if let Err(error) = &answered {
                            if !is_told {
                                tracing::warn!(%error, "the admin port can't take connections");
                            }
                            thread::sleep(PAUSE);
                        }
                        is_told = answered.is_err();
                    }
                })?;
        }
        Ok(())
    }

    /// Another process has the sockets, and their file: this one answers nobody any more.
    pub fn leave(&mut self) {
        self.left.store(true, Ordering::Release);
        std::mem::forget(self.file.take());
        self.doors.clear();
    }
}

/// How many connections are being answered.
#[derive(Default)]
struct Places {
    taken: Mutex<usize>,
    one_is_free: Condvar,
}

/// One of them; given back on drop.
struct Place(Arc<Places>);

impl Places {
    /// Waits until there is one.
    fn take(self: &Arc<Places>) -> Place {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all_taken = |taken: &mut usize| *taken >= limits::ADMIN_CONNECTIONS_MAX;
        let taken = self.one_is_free.wait_while(taken, all_taken);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.one_is_free.notify_one();
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Door::Tcp(listener, _) => listener.as_fd(),
            Door::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Door {
    /// Takes the next connection and has a thread of its own answer it.
    fn answer_one(
        &self,
        subject: &Arc<Subject>,
        places: &Arc<Places>,
        left: &AtomicBool,
    ) -> io::Result<()> {
        // A place first: who comes when there is none waits in the backlog.
        let place = places.take();
        let timeout = Timespec::try_from(LOOK_INTERVAL).ok();
        let mut waiting = [PollFd::new(self, PollFlags::IN)];
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if left.load(Ordering::Acquire) {
            return Ok(());
        }
        let (socket, local) = match self.take() {
            Ok(taken) => taken,
            // Nobody has come, or to the other process that has this socket.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let subject = subject.clone();
        let answer = move || {
            let _place = place;
            connection::serve(socket, local, &subject);
        };
        let thread = thread::Builder::new().name("admin-answer".to_owned());
        thread.spawn(answer)?;
        Ok(())
    }

    /// The next connection, and the address that it came to; none over a unix socket.
    fn take(&self) -> io::Result<(Box<dyn Socket>, Option<SocketAddr>)> {
        Ok(match self {
            Door::Tcp(listener, address) => (Box::new(listener.accept()?.0), Some(*address)),
            Door::Unix(listener) => (Box::new(listener.accept()?.0), None),
        })
    }
}
