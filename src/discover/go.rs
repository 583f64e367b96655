//! Go: `go env -json GOPROXY GOSUMDB` (<https://go.dev/ref/mod#environment-variables>).

use super::{Found, unread};
use serde::Deserialize;

/// Reads the module proxies and the checksum database.
pub fn go(json: &str) -> Found {
    #[derive(Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    struct Env {
        goproxy: String,
        gosumdb: String,
    }
    let env: Env = match serde_json::from_str(json) {
        Ok(env) => env,
        Err(error) => return unread("go", &error),
    };
    let mut found = Found::default();
    for proxy in env.goproxy.split([',', '|']).map(str::trim).filter(|proxy| !proxy.is_empty()) {
        match proxy {
            "off" => {}
            "direct" => found.notes.push(
                "go: modules that no proxy has come from where their source lies: name such hosts by hand"
                    .into(),
            ),
            proxy if proxy.starts_with("file:") => {}
            proxy => found.url("go", "GOPROXY", proxy),
        }
    }
    // `off`, or a name, perhaps with a key behind `+`, perhaps followed by an address that stands for the name.
    let mut words = env.gosumdb.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (None | Some("off"), _) => {}
        (Some(_), Some(url)) => found.url("go", "GOSUMDB", url),
        (Some(name), None) => {
            let host = name.split('+').next().unwrap_or_default();
            found.url("go", "GOSUMDB", &format!("https://{host}/"));
        }
    }
    found
}
