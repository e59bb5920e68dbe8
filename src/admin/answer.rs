//! Which answer a request gets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Subject, health, live, page, routes, settings};
use crate::config::AdminAddress;
use crate::guard::security_headers;
use crate::http::{JSON, Method, Request};
use crate::metrics::expose::{self, Format, Standing};

/// What is sent.
#[derive(Debug)]
pub(super) struct Answer {
    /// RFC 9110 §15.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Other fields.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Paths that are read, and one that has an effect.
const READ: [&str; 7] = [
    "/",
    "/live.json",
    "/livez",
    "/readyz",
    "/metrics",
    "/routes",
    "/config",
];
const HISTOGRAMS: &str = "/histograms";

/// Answers a request that came to an address, or over a unix socket.
pub(super) fn to(request: &Request<'_>, local: Option<SocketAddr>, subject: &Subject) -> Answer {
    if let Some(local) = local
        && !is_meant(request.host(), local.ip(), subject.config.admin.as_ref())
    {
        let message = "Nobody here has that name: ask by an IP address, by localhost, or by the name that \
                       --admin was given";
        return Answer::error(421, message);
    }
    let reads = matches!(request.method(), Method::Get | Method::Head);
    match request.path() {
        path if READ.contains(&path) && reads => read(path, request, subject),
        path if READ.contains(&path) => Answer::not_allowed("GET, HEAD"),
        HISTOGRAMS if request.method() == Method::Post => dump(request, subject),
        HISTOGRAMS => Answer::not_allowed("POST"),
        _ => Answer::error(404, "There is no such path on the admin port"),
    }
}

fn read(path: &str, request: &Request<'_>, subject: &Subject) -> Answer {
    match path {
        "/" => page::answer(),
        "/live.json" => Answer::json(200, &live::now(subject)),
        "/livez" => health::alive(subject),
        "/readyz" => health::ready(subject),
        "/metrics" => metrics(request, subject),
        "/routes" => Answer::pretty(200, &routes::all(subject)),
        _ => Answer::pretty(200, &settings::all(subject)),
    }
}

fn metrics(request: &Request<'_>, subject: &Subject) -> Answer {
    let accept = request.header("accept");
    let format = Format::wanted(accept.and_then(|value| std::str::from_utf8(value).ok()));
    let limits = subject.config.limits;
    let cores = subject.config.cores.len();
    let standing = Standing {
        ready: health::is_ready(subject),
        reloaded: subject.state().reload_fault.is_none(),
        connections_max: limits.connections * cores,
        in_flight_max: limits.in_flight * cores,
    };
    let now = subject.feel();
    let families = expose::families(&subject.ledger, &standing, now);
    let text = expose::write(families, format);
    let mut answer = Answer::new(200, format.content_type(), text.into());
    answer.fields.push(("vary", "accept".to_owned()));
    answer
}

/// A page of another origin can have a browser send this too, so whoever says where they come from has to
/// come from here (RFC 6454 §7).
fn dump(request: &Request<'_>, subject: &Subject) -> Answer {
    if let Some(origin) = request.origin() {
        let own = format!("http://{}", request.host().unwrap_or_default());
        if !origin.eq_ignore_ascii_case(own.as_bytes()) {
            return Answer::error(403, "Pages of another origin may not do this");
        }
    }
    if subject.config.histograms.is_none() {
        let message = "There is nowhere to write histograms to: start with --histogram-dir";
        return Answer::error(409, message);
    }
    match (subject.dump)() {
        Ok(path) => {
            let path = path.map(|path| path.display().to_string());
            Answer::pretty(200, &serde_json::json!({ "dump": path }))
        }
        Err(reason) => Answer::error(
            500,
            &format!("The histograms could not be written: {reason}"),
        ),
    }
}

/// Whether a request for this host is one for a server at this address. A page whose name its owner has
/// let point to a loopback address of the reader (DNS rebinding) asks by that name.
fn is_meant(host: Option<&str>, local: IpAddr, admin: Option<&AdminAddress>) -> bool {
    // HTTP/1.0 need not name it, and no browser speaks that.
    let Some(host) = host.filter(|_| local.to_canonical().is_loopback()) else {
        return true;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.split(']').next().unwrap_or_default();
            return address.parse::<Ipv6Addr>().is_ok();
        }
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || matches!(admin, Some(AdminAddress::Tcp(_, Some(own))) if *own == name)
}

impl Answer {
    /// With the fields that every answer has.
    pub(super) fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
        let values = security_headers::Settings::default().values;
        let names = security_headers::FIELDS.iter().map(|field| field.name);
        let guards = names.zip(values);
        let mut fields: Vec<(&str, String)> = guards
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        fields.push(("cache-control", "no-store".to_owned()));
        Answer {
            status,
            content_type,
            fields,
            body,
        }
    }

    /// For programs.
    pub(super) fn json(status: u16, value: &serde_json::Value) -> Answer {
        let body = serde_json::to_vec(value).expect("a value of JSON is JSON");
        Answer::new(status, JSON, body)
    }

    /// For people too.
    pub(super) fn pretty(status: u16, value: &serde_json::Value) -> Answer {
        let mut body = serde_json::to_vec_pretty(value).expect("a value of JSON is JSON");
        body.push(b'\n');
        Answer::new(status, JSON, body)
    }

    /// What is wrong.
    pub(super) fn error(status: u16, message: &str) -> Answer {
        Answer::pretty(
            status,
            &serde_json::json!({ "error": message, "code": status }),
        )
    }

    fn not_allowed(methods: &str) -> Answer {
        let mut answer = Answer::error(405, &format!("This path takes {methods}"));
        answer.fields.push(("allow", methods.to_owned()));
        answer
    }

    /// Puts a value in the place of the one that a field has.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.fields.retain(|(known, _)| *known != name);
        self.fields.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_one_here_has() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let admin = AdminAddress::Tcp(Vec::new(), Some("pinion.internal".to_owned()));
        let is_meant = |host| super::is_meant(host, loopback, Some(&admin));
        for host in [
            "127.0.0.1:9090",
            "127.0.0.1",
            "[::1]:9090",
            "[::1]",
            "localhost",
            "LocalHost:1",
            "localhost.:9090",
            "a.localhost",
            "pinion.internal:9090",
            "10.0.0.1",
        ] {
            assert!(is_meant(Some(host)), "{host}");
        }
        assert!(is_meant(None));
        for host in [
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "",
            "[x]",
        ] {
            assert!(!is_meant(Some(host)), "{host}");
        }
        // Another interface is asked by whatever name the network has for it.
        let outside = "10.0.0.1".parse().unwrap();
        assert!(super::is_meant(Some("anything"), outside, None));
    }
}
