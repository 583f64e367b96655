//! The address of a repository elsewhere, as git takes it (git-clone(1), "GIT URLS").

/// Where a repository lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The host.
    pub host: String,
    /// The port of ssh, where another one than 22 is named.
    pub port: Option<u16>,
    /// Whether git goes there by ssh: a deploy key is of no use elsewhere.
    pub by_ssh: bool,
    /// The repository's path on the host, without slashes around it and without `.git`.
    pub path: String,
}

/// Reads an address; none where it is no place on another host, or holds what no address has.
pub fn parse(address: &str) -> Option<Remote> {
    let (by_ssh, rest, separator) = match address.split_once("://") {
        Some(("ssh" | "git+ssh" | "ssh+git", rest)) => (true, rest, '/'),
        Some(("https" | "http", rest)) => (false, rest, '/'),
        Some(_) => return None,
        // `host:path`, unless a slash comes first: then it is a path of this machine.
        None => (true, address, ':'),
    };
    let (authority, path) = rest.split_once(separator)?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (place, None),
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let fits = plain(host, ".-") && plain(path, "._-~/+");
    let port = port.filter(|port| by_ssh && *port != 22);
    fits.then(|| Remote { host: host.to_ascii_lowercase(), port, by_ssh, path: path.into() })
}

impl Remote {
    /// The host as ssh(1) writes it into `known_hosts`.
    pub fn in_known_hosts(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("[{}]:{port}", self.host))
    }

    /// The page on which a deploy key is added, at forges whose pages are known.
    pub fn page(&self) -> Option<String> {
        let Self { host, path, .. } = self;
        match &**host {
            "github.com" | "ssh.github.com" => Some(format!("https://github.com/{path}/settings/keys/new")),
            "gitlab.com" | "altssh.gitlab.com" => {
                Some(format!("https://gitlab.com/{path}/-/settings/repository#js-deploy-keys-settings"))
            }
            "codeberg.org" => Some(format!("https://codeberg.org/{path}/settings/keys")),
            "bitbucket.org" => Some(format!("https://bitbucket.org/{path}/admin/access-keys/")),
            _ => None,
        }
    }

    /// The same repository by ssh.
    pub fn ssh_address(&self) -> String {
        format!("git@{}:{}.git", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Option<(String, Option<u16>, bool, String)> {
        parse(address).map(|it| (it.host, it.port, it.by_ssh, it.path))
    }

    #[test]
    fn addresses() {
        let of = |host: &str, port, by_ssh, path: &str| Some((host.into(), port, by_ssh, path.into()));
        for (address, is) in [
            ("git@github.com:ann/shop.git", of("github.com", None, true, "ann/shop")),
            ("GitHub.com:ann/shop", of("github.com", None, true, "ann/shop")),
            (
                "ssh://git@git.example.com:2222/ann/shop.git/",
                of("git.example.com", Some(2222), true, "ann/shop"),
            ),
            ("ssh://git@github.com:22/ann/shop", of("github.com", None, true, "ann/shop")),
            ("https://ann:word@github.com/ann/shop.git", of("github.com", None, false, "ann/shop")),
            ("https://git.example.com:8443/a/b/c", of("git.example.com", None, false, "a/b/c")),
        ] {
            assert_eq!(read(address), is, "{address}");
        }
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "",
            "/srv/git/shop.git",
            "../shop",
            "file:///srv/git/shop",
            "git://example.com/x",
            "ext::sh -c evil",
            "-oProxyCommand=evil:x",
            "git@-oProxyCommand=evil:x",
            "git@h:",
            "git@h:a b",
            "git@h\u{1b}[2J:a",
            "ssh://h:0/a",
            "ssh://h:99999/a",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn pages() {
        let page = |address: &str| parse(address).unwrap().page().unwrap_or_default();
        assert_eq!(page("git@github.com:ann/shop.git"), "https://github.com/ann/shop/settings/keys/new");
        assert!(
            page("git@gitlab.com:a/b/c.git").starts_with("https://gitlab.com/a/b/c/-/settings/repository")
        );
        assert_eq!(page("git@git.example.com:ann/shop.git"), "");
        let mut remote = parse("ssh://git@h.example:2222/a/b").unwrap();
        assert_eq!(remote.in_known_hosts(), "[h.example]:2222");
        remote.port = None;
        assert_eq!(
            (remote.in_known_hosts().as_str(), remote.ssh_address().as_str()),
            ("h.example", "git@h.example:a/b.git")
        );
    }
}
