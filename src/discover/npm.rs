//! npm: `npm config list --json` (npm-config(1)), which holds what every configuration file of the machine and of the human
//! comes to, with the built-in defaults.

use super::{Found, unread};
use serde_json::{Map, Value};

/// Reads npm's configuration.
pub fn npm(json: &str) -> Found {
    let config: Map<String, Value> = match serde_json::from_str(json) {
        Ok(config) => config,
        Err(error) => return unread("npm", &error),
    };
    let mut found = Found::default();
    for (key, value) in &config {
        let Some(value) = value.as_str() else { continue };
        if key == "registry" || (key.starts_with('@') && key.ends_with(":registry")) {
            found.url("npm", key, value);
        } else if key == "proxy" || key == "https-proxy" || key == "http-proxy" {
            found.proxy("npm", key, value);
        }
    }
    found
}
