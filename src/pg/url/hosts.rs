//! From the lists of hosts, addresses and ports to the places to try.

use std::net::IpAddr;
use std::path::Path;

use super::conninfo::Settings;
use super::passfile;
use super::{Address, Error, Host, Password};

/// Bytes of a socket's path: `sun_path` of unix(7) is 108 with its closing zero.
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where the distributions (the first two) and Postgres itself put the socket.
const SOCKET_DIRS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

const PORT_DEFAULT: u16 = 5432;

/// A host with what a line of a password file may call it.
#[derive(Debug)]
pub(super) struct NamedHost {
    pub(super) host: Host,
    names: Vec<String>,
    port: u16,
}

/// Pairs the lists of hosts, numeric addresses and ports.
pub(super) fn hosts(
    settings: &Settings,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Vec<NamedHost>, Error> {
    let list = |keyword: &str| -> Vec<&str> {
        settings
            .get(keyword)
            .map(|list| list.split(',').map(str::trim).collect())
            .unwrap_or_default()
    };
    let (names, numeric, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(numeric.len()).max(1);
    if !numeric.is_empty() && !names.is_empty() && numeric.len() != names.len() {
        let (found, hosts) = (numeric.len(), names.len());
        return Err(Error::Count {
            keyword: "hostaddr",
            found,
            hosts,
        });
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::Count {
            keyword: "port",
            found: ports.len(),
            hosts: count,
        });
    }
    let mut hosts = Vec::new();
    for index in 0..count {
        // A single port is that of every host.
        let port = ports
            .get(index)
            .or(ports.first())
            .copied()
            .unwrap_or_default();
        let port = if port.is_empty() {
            PORT_DEFAULT
        } else {
            parse_port(port)?
        };
        let name = names.get(index).copied().unwrap_or_default();
        match (numeric.get(index).copied().unwrap_or_default(), name) {
            ("", "") => hosts.extend(default_hosts(port, exists)?),
            ("", name) if name.starts_with('/') => hosts.push(unix_host(name, port)?),
            ("", name) if name.starts_with('@') => {
                let expected =
                    "a name, an address or a directory; abstract sockets are not supported";
                return Err(Error::Value {
                    keyword: "host",
                    expected,
                });
            }
            ("", name) => hosts.push(tcp_host(name, name, port)),
            (address, name) => {
                let expected = "a numeric address";
                let _: IpAddr = address.parse().map_err(|_| Error::Value {
                    keyword: "hostaddr",
                    expected,
                })?;
                // The address is where to connect, the name is what the password file knows.
                hosts.push(tcp_host(address, name, port));
            }
        }
    }
    Ok(hosts)
}

pub(super) fn find_passwords(file: &str, hosts: &mut [NamedHost], database: &str, user: &str) {
    for host in hosts {
        let names: Vec<&str> = host.names.iter().map(String::as_str).collect();
        let wanted = passfile::Wanted {
            hosts: &names,
            port: host.port,
            database,
            user,
        };
        host.host.password = passfile::find(file, &wanted).map(Password);
    }
}

/// Where to look for a server when no host is named.
fn default_hosts(port: u16, exists: &dyn Fn(&Path) -> bool) -> Result<Vec<NamedHost>, Error> {
    let sockets = SOCKET_DIRS.map(|directory| (Path::new(directory), unix_host(directory, port)));
    let mut later = Vec::new();
    for (directory, socket) in sockets {
        let socket = socket?;
        match &socket.host.address {
            Address::Unix(path) if exists(path) => return Ok(vec![socket]),
            // On most machines /tmp exists and has nothing to do with Postgres.
            _ if exists(directory) && directory != Path::new("/tmp") => later.push(socket),
            _ => {}
        }
    }
    later.push(tcp_host("localhost", "localhost", port));
    Ok(later)
}

fn unix_host(directory: &str, port: u16) -> Result<NamedHost, Error> {
    let path = Path::new(directory).join(format!(".s.PGSQL.{port}"));
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(Error::SocketPath(path));
    }
    let mut names = vec![directory.to_owned()];
    // In a password file, localhost is also the socket in the default directory.
    if SOCKET_DIRS.contains(&directory.trim_end_matches('/')) {
        names.push(String::from("localhost"));
    }
    Ok(NamedHost {
        host: Host {
            address: Address::Unix(path),
            name: None,
            password: None,
        },
        names,
        port,
    })
}

/// `name` is empty where only an address was given.
fn tcp_host(address: &str, name: &str, port: u16) -> NamedHost {
    let known_as = if name.is_empty() { address } else { name };
    NamedHost {
        host: Host {
            address: Address::Tcp {
                host: address.to_owned(),
                port,
            },
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            password: None,
        },
        names: vec![known_as.to_owned()],
        port,
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    match text.parse() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(Error::Value {
            keyword: "port",
            expected: "a number from 1 to 65535",
        }),
    }
}
