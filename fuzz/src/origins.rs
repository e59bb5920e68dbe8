//! Origins, as the routes file declares them and as requests name them: what is let in is what was meant, and it is
//! named as it was sent.

use pinion::guard::cors::{Cors, Methods, Names, Origin, Origins, Settings, Verdict};

use super::with_request;

/// All of it for one input: an entry of `allow_origins`, and an origin behind its first line feed.
pub fn check(input: &[u8]) {
    let mut parts = input.splitn(2, |octet| *octet == b'\n');
    let (entry, origin) = (parts.next().unwrap_or_default(), parts.next());
    let Ok(entry) = std::str::from_utf8(entry) else {
        return;
    };
    match Origin::parse(entry) {
        Ok(declared) => {
            assert_eq!(declared.as_str(), entry);
            meets(&declared, entry.as_bytes());
            meets(&declared, origin.unwrap_or_default());
        }
        Err(fault) => assert!(!fault.message.is_empty() && !fault.help.contains('\n')),
    }
}

fn meets(declared: &Origin, origin: &[u8]) {
    let admitted = declared.admits(origin);
    if declared.is_exact() {
        assert_eq!(admitted, origin == declared.as_str().as_bytes());
    }
    if admitted {
        let origin = std::str::from_utf8(origin).expect("ASCII");
        is_meant(declared.as_str(), origin);
    }
    answers(declared, origin, admitted);
}

/// Scheme, host and port of an origin in the form that browsers give it, taken apart in the plainest way.
fn parts(origin: &str) -> (&str, &str, &str) {
    let (scheme, rest) = origin.split_once("://").expect("a scheme");
    let colon = rest.rfind(':').filter(|at| !rest[*at..].contains(']'));
    let (host, port) = rest.split_at(colon.unwrap_or(rest.len()));
    (scheme, host, port)
}

fn is_meant(declared: &str, origin: &str) {
    let (_, rest) = origin.split_once("://").expect("a scheme");
    assert!(!rest.contains(['/', '@', '?', '#', '\\', ',', ' ', '*']));
    assert_eq!(origin, origin.to_ascii_lowercase());
    let (scheme, host, port) = parts(declared);
    let (its_scheme, its_host, its_port) = parts(origin);
    assert_eq!(its_scheme, scheme);
    match host.strip_prefix("*.") {
        Some(name) => {
            let label = its_host.strip_suffix(name).expect("below the name");
            assert!(label.len() > 1 && label.ends_with('.') && !label.starts_with('.'));
        }
        None => assert_eq!(its_host, host),
    }
    match port {
        ":*" => {
            let number = its_port.strip_prefix(':').unwrap_or("1");
            assert_eq!(number.parse::<u16>().expect("a port").to_string(), number);
        }
        _ => assert_eq!(its_port, port),
    }
}

/// Who is not let in is told nothing but that it depends on the origin.
fn answers(declared: &Origin, origin: &[u8], admitted: bool) {
    let cors = Cors::new(&Settings {
        origins: Origins::Listed {
            origins: vec![declared.clone()],
            credentials: true,
        },
        methods: Methods::Declared,
        headers: Names::default(),
        exposed: Names::default(),
        max_age: None,
        private_network: false,
    });
    let lines = [b"Origin: ", origin, b"\r\n"].concat();
    with_request(&lines, |request| {
        // Space around it is not part of it, and an input may hold further lines.
        if request.headers().count() != 2 || request.header("origin") != Some(origin) {
            return;
        }
        let Verdict::Pass(lines) = cors.verdict(request, || None) else {
            panic!("it is no preflight");
        };
        let expected = match admitted {
            false => b"vary: origin\r\n".to_vec(),
            true => [
                b"access-control-allow-origin: ",
                origin,
                b"\r\naccess-control-allow-credentials: true\r\nvary: origin\r\n",
            ]
            .concat(),
        };
        assert_eq!(*lines, *expected);
    });
}
