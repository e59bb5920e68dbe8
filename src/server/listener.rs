//! Listening sockets: bound before any core starts, one per address and core.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::{Address, Config, Sockets};

/// An address that can't be listened on, and what to do about it.
#[derive(Debug)]
pub struct Error {
    address: String,
    source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { address, source } = self;
        write!(formatter, "can't listen on {address}: {source}")?;
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(
                formatter,
                "; stop what is listening there, or choose another --listen address"
            ),
            io::ErrorKind::AlreadyExists => {
                write!(formatter, "; remove it, or choose another --listen address")
            }
            io::ErrorKind::PermissionDenied => write!(
                formatter,
                "; ports below 1024 need CAP_NET_BIND_SERVICE, paths a writable directory"
            ),
            io::ErrorKind::NotFound => write!(formatter, "; its directory has to exist"),
            io::ErrorKind::InvalidInput => {
                write!(
                    formatter,
                    "; the path of a unix socket has at most 107 bytes"
                )
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(formatter, "; no interface of this host has that address")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// All listening sockets of the server.
pub struct Bound {
    /// Where it listens; with the ports that the kernel chose for port 0.
    pub addresses: Vec<Address>,
    /// By address, then by core.
    sockets: Vec<Vec<Socket>>,
    /// Unix sockets, whose files are removed at the end.
    files: Vec<SocketFile>,
}

/// The file of a unix socket, told apart from one that another server has put in its place since.
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl Bound {
    /// The sockets of one more core, one for each address that is configured, its own from now on: when the last core has closed them, who
    /// connects is refused.
    pub fn take_core(&mut self) -> Vec<OwnedFd> {
        self.sockets
            .iter_mut()
            .filter_map(std::vec::Vec::pop)
            .map(OwnedFd::from)
            .collect()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        for SocketFile { path, identity } in &self.files {
            if self::identity(path).is_ok_and(|found| found == *identity) {
                // Nothing is lost if it stays: the next server takes it for stale.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Device, inode, and when it was made (seconds, nanoseconds): inodes are used again.
type Identity = (u64, u64, i64, i64);

/// Binds every address of the configuration once per core.
pub fn bind(config: &Config) -> Result<Bound, Error> {
    let mut bound = Bound {
        addresses: Vec::new(),
        sockets: Vec::new(),
        files: Vec::new(),
    };
    for address in &config.listen {
        let result = match address {
            Address::Tcp(address) => bind_tcp(*address, config).map(|(address, sockets)| {
                bound.addresses.push(Address::Tcp(address));
                sockets
            }),
            Address::Tls(address) => bind_tcp(*address, config).map(|(address, sockets)| {
                bound.addresses.push(Address::Tls(address));
                sockets
            }),
            Address::Unix(path) => bind_unix(path, config).map(|(file, sockets)| {
                bound.addresses.push(address.clone());
                bound.files.push(file);
                sockets
            }),
        };
        let sockets = result.map_err(|source| Error {
            address: address.to_string(),
            source,
        })?;
        bound.sockets.push(sockets);
    }
    Ok(bound)
}

/// One socket per core on the same port; the kernel spreads connections over them (SO_REUSEPORT).
fn bind_tcp(address: SocketAddr, config: &Config) -> io::Result<(SocketAddr, Vec<Socket>)> {
    // SO_REUSEPORT would let a second server of the same user share the port without a word. A
    // socket without it is refused if anybody is there.
    let alone = tcp_socket(address, &config.sockets)?;
    alone.bind(&address.into())?;
    let address = local(&alone)?;
    drop(alone);
    let sockets = config
        .cores
        .iter()
        .map(|_| {
            let socket = tcp_socket(address, &config.sockets)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(backlog(&config.sockets))?;
            Ok(socket)
        })
        .collect::<io::Result<_>>()?;
    Ok((address, sockets))
}

/// Accepted sockets inherit these options on Linux, so that accepting costs no further call.
fn tcp_socket(address: SocketAddr, options: &Sockets) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_tcp_nodelay(options.nodelay)?;
    set_buffers(&socket, options)?;
    Ok(socket)
}

/// One socket that all cores accept from: a path has no SO_REUSEPORT.
fn bind_unix(path: &Path, config: &Config) -> io::Result<(SocketFile, Vec<Socket>)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    set_buffers(&socket, &config.sockets)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog(&config.sockets))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    let cores = config.cores.iter().map(|_| socket.try_clone());
    Ok((file, cores.collect::<io::Result<_>>()?))
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = std::fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Removes the file of a server that is gone; one that still answers keeps it.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name that is no socket",
        )),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
        },
    }
}

fn set_buffers(socket: &Socket, options: &Sockets) -> io::Result<()> {
    if let Some(bytes) = options.recv_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

fn backlog(options: &Sockets) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
