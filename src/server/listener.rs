//! Listening sockets: bound before any core starts, one per address and core.

use std::collections::VecDeque;
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::handover::Shares;
use super::steering;
use crate::cli::Steer;
use crate::config::{Address, Config, Sockets};
use crate::ring;

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
    sockets: Vec<VecDeque<Vec<Socket>>>,
    /// By what they are called when they are handed over.
    names: Vec<String>,
    /// Unix sockets, whose files are removed at the end.
    files: Vec<SocketFile>,
    /// Those of the process that this one is to take over from, until it has.
    lent_files: Vec<SocketFile>,
}

/// One listening socket.
pub struct Listening {
    /// The socket.
    pub socket: OwnedFd,
    /// TLS is spoken there.
    pub is_encrypted: bool,
}

/// The file of a unix socket, told apart from one that another server has put in its place since. Removed
/// on drop.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    /// That of a socket that was just bound there.
    pub(crate) fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Bound {
    /// The sockets of one more core, the first one first: one for each address that is configured, or more of
    /// those that were handed over by more cores, its own from now on. When the last core has closed them, who
    /// connects is refused.
    pub fn take_core(&mut self) -> Vec<Listening> {
        let of_all = self.sockets.iter_mut().zip(&self.addresses);
        let of_core = of_all.flat_map(|(sockets, address)| {
            let own = sockets.pop_front().unwrap_or_default();
            own.into_iter().map(|socket| Listening {
                socket: socket.into(),
                is_encrypted: address.is_encrypted(),
            })
        });
        of_core.collect()
    }

    /// What another process takes over from this one, to be asked before the cores have taken it.
    pub fn shares(&self) -> io::Result<Shares> {
        let mut shares = Shares::default();
        for (index, name) in self.names.iter().enumerate() {
            let sockets = self.sockets[index].iter().flatten();
            // The cores have one socket of a path, each by a descriptor of its own.
            let is_path = matches!(self.addresses[index], Address::Unix(_));
            let sockets = sockets.take(if is_path { 1 } else { usize::MAX });
            let copies = sockets.map(|socket| socket.try_clone().map(OwnedFd::from));
            shares.add(name.clone(), copies.collect::<io::Result<_>>()?);
        }
        Ok(shares)
    }

    /// The files of unix sockets that were handed over are this process's now.
    pub fn own_files(&mut self) {
        self.files.append(&mut self.lent_files);
    }

    /// The files of unix sockets are another process's now.
    pub fn leave_files(&mut self) {
        self.files.drain(..).for_each(std::mem::forget);
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Whoever has lent them goes on.
        self.lent_files.drain(..).for_each(std::mem::forget);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Nothing is lost if it stays: the next server takes it for stale.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Device, inode, and when it was made (seconds, nanoseconds): inodes are used again.
type Identity = (u64, u64, i64, i64);

/// Binds every address of the configuration once per core, but for what has been handed over.
pub fn bind(config: &Config, shares: &mut Shares) -> Result<Bound, Error> {
    let mut bound = Bound {
        addresses: Vec::new(),
        sockets: Vec::new(),
        names: Vec::new(),
        files: Vec::new(),
        lent_files: Vec::new(),
    };
    for (index, address) in config.listen.iter().enumerate() {
        // An address may be there twice.
        let name = format!("{index} {address}");
        let given: Vec<Socket> = shares.take(&name).into_iter().map(Socket::from).collect();
        let result = match address {
            Address::Tcp(address) => bind_tcp(*address, config, given).map(|(address, sockets)| {
                bound.addresses.push(Address::Tcp(address));
                sockets
            }),
            Address::Tls(address) => bind_tcp(*address, config, given).map(|(address, sockets)| {
                bound.addresses.push(Address::Tls(address));
                sockets
            }),
            Address::Unix(path) => {
                let is_lent = !given.is_empty();
                bind_unix(path, config, given).map(|(file, sockets)| {
                    bound.addresses.push(address.clone());
                    match is_lent {
                        true => bound.lent_files.push(file),
                        false => bound.files.push(file),
                    }
                    sockets
                })
            }
        };
        let sockets = result.map_err(|source| Error {
            address: address.to_string(),
            source,
        })?;
        bound.sockets.push(dealt(sockets, config.cores.len()));
        bound.names.push(name);
    }
    Ok(bound)
}

/// All sockets, each to a core: every one is accepted from.
fn dealt(sockets: Vec<Socket>, cores: usize) -> VecDeque<Vec<Socket>> {
    let mut dealt: VecDeque<Vec<Socket>> = (0..cores).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        dealt[index % cores].push(socket);
    }
    dealt
}

/// One socket per core on the same port; the kernel spreads connections over them (SO_REUSEPORT), or a
/// program does, which names them by the order in which they begin to listen: that of the cores.
///
/// Of those that were handed over none is closed, whatever the number of cores: somebody may wait in its queue.
fn bind_tcp(
    address: SocketAddr,
    config: &Config,
    given: Vec<Socket>,
) -> io::Result<(SocketAddr, Vec<Socket>)> {
    let address = match given.first() {
        Some(socket) => local(socket)?,
        None => free_address(address, config)?,
    };
    let program = program(config);
    let given_count = given.len();
    let mut sockets = given;
    while sockets.len() < config.cores.len() {
        let socket = tcp_socket(address, &config.sockets)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        // The others join the first one's group, so that it has the program before anybody connects.
        let is_first = sockets.is_empty();
        if let Some(program) = program.as_ref().filter(|_| is_first) {
            ring::steer(&socket, program)?;
        }
        socket.listen(backlog(&config.sockets))?;
        sockets.push(socket);
    }
    // The one that came with them knows of fewer cores.
    if let (Some(first), Some(program), true) = (
        sockets.first(),
        &program,
        (1..sockets.len()).contains(&given_count),
    ) {
        ring::steer(first, program)?;
    }
    Ok((address, sockets))
}

/// The address, with a port. SO_REUSEPORT would let a second server of the same user share the port without a
/// word. A socket without it is refused if anybody is there.
fn free_address(address: SocketAddr, config: &Config) -> io::Result<SocketAddr> {
    let alone = tcp_socket(address, &config.sockets)?;
    alone.bind(&address.into())?;
    local(&alone)
}

/// What chooses the core of a connection, where the kernel is not to do it by itself.
fn program(config: &Config) -> Option<Vec<ring::Instruction>> {
    match config.steer {
        _ if config.cores.len() < 2 => None,
        Steer::Hash => None,
        Steer::Ip => Some(steering::by_address(config.cores.len())),
        Steer::Cpu => Some(steering::by_cpu(&config.cores)),
    }
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
fn bind_unix(
    path: &Path,
    config: &Config,
    given: Vec<Socket>,
) -> io::Result<(SocketFile, Vec<Socket>)> {
    let socket = match given.into_iter().next() {
        Some(socket) => socket,
        None => {
            remove_stale(path)?;
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            set_buffers(&socket, &config.sockets)?;
            socket.bind(&SockAddr::unix(path)?)?;
            // Whom its directory lets through may connect, as on a port, whatever the umask: the proxy in front is
            // another user.
            std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
            socket.listen(backlog(&config.sockets))?;
            socket
        }
    };
    let file = SocketFile::of(path)?;
    let cores = config.cores.iter().map(|_| socket.try_clone());
    Ok((file, cores.collect::<io::Result<_>>()?))
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = std::fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Removes the file of a server that is gone; one that still answers keeps it.
pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::time::{Duration, Instant};

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn bound(listen: &str, steer: &str, cores: usize) -> (SocketAddr, Vec<Socket>) {
        let line = [
            "pinion", "serve", "--routes", "x", "--steer", steer, "--listen", listen,
        ];
        let Command::Serve(serve) = Cli::try_parse_from(line).expect("usage").command else {
            unreachable!()
        };
        let mut config = Config::new(&serve.machine).expect("a configuration");
        config.cores = (0..cores).collect();
        let mut bound = bind(&config, &mut Shares::default()).expect("a port");
        let Address::Tcp(address) = bound.addresses[0] else {
            unreachable!()
        };
        let sockets = (0..cores).flat_map(|_| bound.take_core());
        let sockets: Vec<Socket> = sockets.map(|one| one.socket.into()).collect();
        for socket in &sockets {
            socket.set_nonblocking(true).expect("a flag");
        }
        (address, sockets)
    }

    /// Connects from an address, and tells the core that gets it.
    fn core_of(source: IpAddr, (address, sockets): &(SocketAddr, Vec<Socket>)) -> usize {
        let client =
            Socket::new(Domain::for_address(*address), Type::STREAM, None).expect("a socket");
        client
            .bind(&SocketAddr::new(source, 0).into())
            .expect("an address");
        client.connect(&(*address).into()).expect("a connection");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if let Some(core) = sockets.iter().position(|socket| socket.accept().is_ok()) {
                return core;
            }
        }
        panic!("nobody got it");
    }

    #[test]
    fn all_connections_of_an_address_go_to_its_core() {
        let bound = bound("127.0.0.1:0", "ip", 5);
        let mut seen = HashSet::new();
        for last in 1..60 {
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
            let expected = steering::core_of(source.into(), 5);
            for _ in 0..4 {
                assert_eq!(core_of(source, &bound), expected, "{source}");
            }
            seen.insert(expected);
        }
        assert_eq!(seen.len(), 5, "and every core has some");
    }

    #[test]
    fn so_do_those_of_an_ipv6_address() {
        let source = "::1".parse().expect("an address");
        for cores in 2..8 {
            let bound = bound("[::1]:0", "ip", cores);
            for _ in 0..10 {
                assert_eq!(
                    core_of(source, &bound),
                    steering::core_of(source.into(), cores)
                );
            }
        }
    }

    #[test]
    fn the_kernel_spreads_them_unless_told_otherwise() {
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for steer in ["hash", "cpu"] {
            let bound = bound("127.0.0.1:0", steer, 3);
            let cores: HashSet<usize> = (0..200).map(|_| core_of(source, &bound)).collect();
            assert!(steer == "cpu" || cores.len() == 3, "{cores:?}");
        }
    }
}
