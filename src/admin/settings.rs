//! `/config`: the settings that are in effect. Secrets are never shown, nor what stands in files.

use serde_json::{Value, json};

use super::Subject;
use crate::cli::Setting;

/// All of them.
pub(super) fn all(subject: &Subject) -> Value {
    let config = &subject.config;
    let settings: Vec<Value> = config.settings.iter().map(setting).collect();
    let redis = config.redis.as_ref().map(|redis| redis.target.to_string());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "in_effect": {
            "listening": subject.listening,
            "cores": config.cores,
            "connections_of_a_core_at_most": config.limits.connections,
            "in_flight_of_a_core_at_most": config.limits.in_flight,
            "database": subject.database,
            "redis": redis,
        },
        "settings": settings,
    })
}

fn setting(setting: &Setting) -> Value {
    let value = match (&setting.value, setting.is_secret) {
        (Some(_), true) => Some("(hidden)".to_owned()),
        (value, _) => value.clone(),
    };
    json!({
        "flag": setting.flag,
        "environment": setting.environment,
        "value": value,
        "from": setting.source,
    })
}
