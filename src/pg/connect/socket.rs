//! The socket under a session.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use crate::pg::url::{Address, TcpOptions};
use crate::ring::{Ring, Stream, blocking};

/// Connects to the first of the host's addresses that answers.
pub(super) async fn open(
    ring: &Rc<Ring>,
    tcp: &TcpOptions,
    address: &Address,
) -> io::Result<Stream> {
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
