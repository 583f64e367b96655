//! pip: `pip config list`, and the constants of pip's own package for what no file says; uv: its file of the human's and of
//! the machine (<https://docs.astral.sh/uv/concepts/configuration-files/>).

use super::{Found, unread};
use serde::Deserialize;

/// Reads pip's configuration: lines `section.key='value'`; and, as JSON, the index and the host of files that are built in.
pub fn pip(config: &str, built_in: &str) -> Found {
    let mut found = Found::default();
    let mut has_index = false;
    for line in config.lines().filter(|line| !line.trim().is_empty()) {
        let Some((key, value)) = line.split_once('=').and_then(|(key, value)| Some((key, unquoted(value)?)))
        else {
            found.notes.push("pip: a line of its configuration can't be read".into());
            continue;
        };
        let name = key.rsplit('.').next().unwrap_or_default();
        match name {
            "index-url" | "extra-index-url" | "find-links" => {
                has_index |= name == "index-url";
                // Several are parted by spaces or newlines; a directory is no host.
                for url in value.split_whitespace().filter(|url| name != "find-links" || url.contains("://"))
                {
                    found.url("pip", key, url);
                }
            }
            "proxy" => found.proxy("pip", key, &value),
            _ => {}
        }
    }
    if !has_index {
        found.add(defaults(built_in));
    }
    found
}

fn defaults(built_in: &str) -> Found {
    let (index, files): (String, String) = match serde_json::from_str(built_in) {
        Ok(built_in) => built_in,
        Err(error) => return unread("pip", &error),
    };
    let mut found = Found::default();
    found.url("pip", "the index that is built in", &index);
    found.url("pip", "the host of files that is built in", &format!("https://{files}/"));
    found
}

/// The text of a string as Python's `repr` writes it.
fn unquoted(text: &str) -> Option<String> {
    let text = text.trim();
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let inside = text.get(1..)?.strip_suffix(quote)?;
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                c @ ('\\' | '\'' | '"') => out.push(c),
                _ => return None,
            },
            c if c == quote => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Reads `uv.toml`.
pub fn uv(text: &str, file: &str) -> Found {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "kebab-case", default)]
    struct Uv {
        index_url: Option<String>,
        extra_index_url: Vec<String>,
        find_links: Vec<String>,
        index: Vec<Index>,
        python_install_mirror: Option<String>,
        pip: Option<Box<Uv>>,
    }
    #[derive(Deserialize)]
    struct Index {
        url: String,
    }
    let mut uv: Uv = match toml::from_str(text) {
        Ok(uv) => uv,
        Err(error) => return unread("uv", &error),
    };
    let mut found = Found::default();
    for uv in uv.pip.take().map(|pip| *pip).into_iter().chain([uv]) {
        let urls = uv.index_url.into_iter().chain(uv.extra_index_url).chain(uv.python_install_mirror);
        let urls = urls.chain(uv.index.into_iter().map(|index| index.url));
        let links = uv.find_links.into_iter().filter(|link| link.contains("://"));
        for url in urls.chain(links) {
            found.url("uv", file, &url);
        }
    }
    found
}
