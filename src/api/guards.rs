//! The tables of the guards: what stands between a request and its route, whatever the route.

use toml::de::DeTable;

use super::tree::Faults;
use crate::guard::Settings;

/// Their names.
pub(super) const TABLES: &[&str] = &[];

/// Reads them; what is not there has its default.
pub(super) fn read(_faults: &mut Faults<'_>, _document: &DeTable<'_>) -> Settings {
    Settings::default()
}
