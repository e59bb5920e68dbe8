//! What a response tells browsers not to do with it.
//!
//! The defaults are those of an API that answers JSON: nothing in it is to be run, framed, guessed at or
//! embedded. The fields are those of the Fetch and HTML standards (`X-Content-Type-Options`,
//! `Cross-Origin-Resource-Policy`, `Cross-Origin-Opener-Policy`), CSP level 3, Referrer Policy, RFC 7034
//! (`X-Frame-Options`, for browsers older than `frame-ancestors`) and RFC 6797
//! (`Strict-Transport-Security`).

use std::sync::Arc;
use std::time::Duration;

/// `[security_headers]` of the routes file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether any of them is sent.
    pub enabled: bool,
    /// `Strict-Transport-Security: max-age`, in whole seconds; `None` for no such field.
    pub hsts: Option<Duration>,
    /// The value of each of [`FIELDS`], in their order; `None` for no such field.
    pub values: [Option<String>; FIELDS.len()],
}

/// A field that is sent with a value that the routes file may change.
pub struct Field {
    /// Its key in the routes file.
    pub key: &'static str,
    /// Its name.
    pub name: &'static str,
    default: &'static str,
}

/// All but HSTS.
pub const FIELDS: [Field; 6] = [
    Field {
        key: "content_type_options",
        name: "x-content-type-options",
        default: "nosniff",
    },
    Field {
        key: "frame_options",
        name: "x-frame-options",
        default: "DENY",
    },
    Field {
        key: "content_security_policy",
        name: "content-security-policy",
        default: "default-src 'none'; frame-ancestors 'none'",
    },
    Field {
        key: "referrer_policy",
        name: "referrer-policy",
        default: "no-referrer",
    },
    Field {
        key: "cross_origin_opener_policy",
        name: "cross-origin-opener-policy",
        default: "same-origin",
    },
    Field {
        key: "cross_origin_resource_policy",
        name: "cross-origin-resource-policy",
        default: "same-origin",
    },
];

/// A year: what browsers ask for before they preload a host.
const HSTS_DEFAULT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            hsts: Some(HSTS_DEFAULT),
            values: FIELDS.map(|field| Some(field.default.to_owned())),
        }
    }
}

/// The lines, made once.
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    plain: Option<Arc<[u8]>>,
    encrypted: Option<Arc<[u8]>>,
}

impl SecurityHeaders {
    /// What `settings` say.
    pub fn new(settings: &Settings) -> SecurityHeaders {
        if !settings.enabled {
            return SecurityHeaders {
                plain: None,
                encrypted: None,
            };
        }
        let mut lines = Vec::new();
        for (field, value) in FIELDS.iter().zip(&settings.values) {
            if let Some(value) = value {
                lines.extend_from_slice(format!("{}: {value}\r\n", field.name).as_bytes());
            }
        }
        let plain = Arc::from(&*lines);
        if let Some(age) = settings.hsts {
            let line = format!("strict-transport-security: max-age={}\r\n", age.as_secs());
            lines.extend_from_slice(line.as_bytes());
        }
        SecurityHeaders {
            plain: Some(plain),
            encrypted: Some(lines.into()),
        }
    }

    /// The lines of a response, HSTS among them where the client speaks HTTPS: elsewhere browsers ignore
    /// it, and a server must not send it (RFC 6797 §7.2).
    pub fn lines(&self, encrypted: bool) -> Option<Arc<[u8]>> {
        match encrypted {
            true => self.encrypted.clone(),
            false => self.plain.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: Option<Arc<[u8]>>) -> String {
        String::from_utf8(lines.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn hsts_is_for_those_who_came_encrypted() {
        let headers = SecurityHeaders::new(&Settings::default());
        let plain = text(headers.lines(false));
        assert_eq!(plain.lines().count(), 6);
        assert!(!plain.contains("transport"), "{plain}");
        let hsts = "strict-transport-security: max-age=31536000\r\n";
        assert_eq!(text(headers.lines(true)), plain + hsts);
    }

    #[test]
    fn what_is_switched_off_is_not_sent() {
        let mut settings = Settings {
            hsts: None,
            ..Settings::default()
        };
        settings.values[1] = None;
        let headers = SecurityHeaders::new(&settings);
        let lines = text(headers.lines(true));
        assert!(!lines.contains("x-frame-options") && !lines.contains("transport"));
        settings.enabled = false;
        let headers = SecurityHeaders::new(&settings);
        assert!(headers.lines(true).is_none() && headers.lines(false).is_none());
    }
}
