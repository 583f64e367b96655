//! apt: sources.list(5) in both its forms, and proxies from `apt-config dump`.

use super::Found;

/// Schemes that reach no host of their own.
const LOCAL: [&str; 4] = ["cdrom", "file", "copy", "ssh"];

/// Reads a file of the one-line form: `deb [options] URI suite component...`.
pub fn one_line(text: &str, file: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb")) else { continue };
        if !rest.starts_with([' ', '\t', '[']) {
            continue;
        }
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        if let Some(uri) = rest.split_ascii_whitespace().next() {
            source(&mut found, file, uri);
        }
    }
    found
}

/// Reads a file of the deb822 form: stanzas of fields, parted by empty lines.
pub fn stanzas(text: &str, file: &str) -> Found {
    let mut found = Found::default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let mut uris = Vec::new();
        let mut enabled = true;
        let mut field = "";
        for line in stanza {
            let value = if line.starts_with([' ', '\t']) {
                *line
            } else if let Some((name, value)) = line.split_once(':') {
                field = name;
                value
            } else {
                continue;
            };
            if field.eq_ignore_ascii_case("uris") {
                uris.extend(value.split_ascii_whitespace());
            } else if field.eq_ignore_ascii_case("enabled") {
                enabled = !["no", "false", "0", "off", "without", "disable"].contains(&value.trim());
            }
        }
        for uri in uris.into_iter().filter(|_| enabled) {
            source(&mut found, file, uri);
        }
    }
    found
}

fn source(found: &mut Found, file: &str, uri: &str) {
    if LOCAL.contains(&uri.split(':').next().unwrap_or_default()) {
        return;
    }
    if let Some(rest) = uri.strip_prefix("mirror://") {
        return found.url("apt", file, &format!("http://{rest}"));
    }
    if uri.starts_with("mirror+file:") {
        found.notes.push(format!(
            "apt: {file} names a list of mirrors in a file, which is not read: name them by hand"
        ));
        return;
    }
    found.url("apt", file, uri);
}

/// Reads proxies from `apt-config dump`: lines `Acquire::http::Proxy "address";`.
pub fn apt_config(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let value = value.trim_end_matches(';').trim_matches('"');
        let name = name.to_ascii_lowercase();
        let of_http = name.starts_with("acquire::http::proxy") || name.starts_with("acquire::https::proxy");
        let names_one = of_http && !name.contains("auto") && !value.is_empty() && value != "DIRECT";
        if names_one {
            found.proxy("apt", &name, value);
        }
    }
    found
}
