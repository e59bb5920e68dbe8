//! The tables of the guards: what stands between a request and its route, whatever the route.

pub(super) mod auth;
mod cors;
mod proxy;
pub(super) mod rate_limit;
mod security_headers;

use toml::de::DeTable;

use super::tree::Faults;
use crate::guard::Settings;

/// Their names.
pub(super) const TABLES: &[&str] = &["auth", "cors", "proxy", "rate_limit", "security_headers"];

/// Reads them; what is not there has its default.
pub(super) fn read(faults: &mut Faults<'_>, document: &DeTable<'_>) -> Settings {
    Settings {
        auth: auth::read(faults, document.get("auth")),
        cors: cors::read(faults, document.get("cors")),
        proxy: proxy::read(faults, document.get("proxy")),
        rate_limits: rate_limit::read(faults, document.get("rate_limit")),
        security_headers: security_headers::read(faults, document.get("security_headers")),
    }
}
