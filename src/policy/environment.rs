//! Which environment variables may reach the agent.
//!
//! Three kinds never do: names that steer a loader or an interpreter (they would run code before the confinement),
//! names that lead into the human's session, and names that look like secrets.

use super::error::{Refusal, quote};
use serde::{Deserialize, Serialize};

/// A variable's name, or with a trailing `*` all names that start alike.
///
/// A pattern never matches a name that would be refused if it were written out: `X*` does not take `X_TOKEN` along.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvPattern(String);

impl EnvPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a variable of this name is taken along.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            None => self.0 == name,
            Some(start) => name.starts_with(start) && is_name(name) && judge(name).is_none(),
        }
    }

    /// What is taken along where the policy says nothing.
    pub(super) fn defaults() -> Vec<Self> {
        ["LANG", "LC_*", "TERM", "COLORTERM", "NO_COLOR"].map(|name| Self(name.into())).into()
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let no = |why: &str, hint: &str| Err(Refusal::new(format!("{} {why}", quote(text)), hint));
        let start = text.strip_suffix('*').unwrap_or(text);
        if text == "*" {
            let hint = "name the variables that the agent needs, such as `LANG` and `LC_*`";
            return no("would pass the human's whole environment", hint);
        }
        if start.contains('*') {
            return no(
                "has an asterisk that is not at its end",
                "write a name, or the start of names such as `LC_*`",
            );
        }
        if text.contains('=') {
            return no("sets a value", "values go below `environment.set`; `pass` lists names");
        }
        if !is_name(start) {
            return no("is not a variable's name", "write letters, digits and `_`, such as `LANG`");
        }
        let kind = judge(start).or_else(|| if start == text { None } else { overlap(start) });
        match kind {
            None => Ok(Self(text.into())),
            Some(kind) => no(kind.why(), kind.mend(start)),
        }
    }
}

impl std::fmt::Display for EnvPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EnvPattern {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::read(&text)
    }
}

impl From<EnvPattern> for String {
    fn from(pattern: EnvPattern) -> Self {
        pattern.0
    }
}

impl std::str::FromStr for EnvPattern {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::read(text)
    }
}

/// Why a variable stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Steers,
    Session,
    Secret,
    Own,
}

impl Kind {
    fn why(self) -> &'static str {
        match self {
            Self::Steers => "steers a loader, a shell or an interpreter",
            Self::Session => "leads into the human's session",
            Self::Secret => "looks like a secret",
            Self::Own => "is set by agentuser itself",
        }
    }

    fn mend(self, name: &str) -> &'static str {
        match self {
            Self::Steers if name.starts_with("GIT") => {
                "leave it out: git's settings go into the agent's own ~/.gitconfig"
            }
            Self::Steers => {
                "leave it out: such settings go into the agent's own files, read after the confinement"
            }
            Self::Session => "leave it out: the agent gets no part of the human's session",
            Self::Secret => {
                "leave it out: `agentuser secret set` keeps it in a file of the agent, where the policy can be read by all"
            }
            Self::Own if name == "PATH" => "leave it out, and list directories below `path`",
            Self::Own => "leave it out: the agent has its own home, shell and name",
        }
    }
}

/// Starts of names, in capitals: a name is compared without regard to case.
const STEERS: [&str; 32] = [
    "LD_",
    "DYLD_",
    "GLIBC_",
    "GCONV_",
    "MALLOC_",
    "PYTHON",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA",
    "NPM_CONFIG",
    "PERL",
    "RUBY",
    "GEM_",
    "BUNDLE_",
    "LUA_",
    "PHP",
    "BASH",
    "GIT_",
    "SUDO_",
    "JAVA_TOOL",
    "JDK_JAVA",
    "_JAVA",
    "CLASSPATH",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "CARGO_",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "RESOLV_",
    "LOCPATH",
    "NLSPATH",
];

/// Whole names of the same kind.
const STEERS_EXACT: [&str; 13] = [
    "ENV",
    "IFS",
    "CDPATH",
    "FPATH",
    "ZDOTDIR",
    "PS4",
    "PROMPT_COMMAND",
    "SHELLOPTS",
    "GLOBIGNORE",
    "TERMINFO",
    "TERMCAP",
    "INPUTRC",
    "TZDIR",
];

const SESSION: [&str; 27] = [
    "SSH_",
    "GPG_",
    "DBUS_",
    "XDG_",
    "XAUTHORITY",
    "ICEAUTHORITY",
    "DISPLAY",
    "WAYLAND_",
    "TMUX",
    "STY",
    "KRB5",
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "GCLOUD_",
    "CLOUDSDK_",
    "DOCKER_",
    "KUBE",
    "VAULT_",
    "PULSE_",
    "PIPEWIRE_",
    "VSCODE_",
    "LISTEN_",
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    "CREDENTIALS_DIRECTORY",
    "SYSTEMD_",
];

const OWN: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "MAIL"];

const SECRET_PARTS: [&str; 6] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "CREDENTIAL", "APIKEY"];
const SECRET_WORDS: [&str; 5] = ["TOKEN", "TOKENS", "KEY", "KEYS", "PAT"];

fn judge(name: &str) -> Option<Kind> {
    let name = name.to_ascii_uppercase();
    let starts = |list: &[&str]| list.iter().any(|start| name.starts_with(start));
    if starts(&STEERS) || STEERS_EXACT.contains(&name.as_str()) {
        return Some(Kind::Steers);
    }
    if looks_secret(&name) {
        return Some(Kind::Secret);
    }
    if starts(&SESSION) {
        return Some(Kind::Session);
    }
    OWN.contains(&name.as_str()).then_some(Kind::Own)
}

/// The kind of a refused name that names starting with `start` may have.
fn overlap(start: &str) -> Option<Kind> {
    let start = start.to_ascii_uppercase();
    let within = |list: &[&str]| list.iter().any(|name| name.starts_with(&start));
    if within(&STEERS) || within(&STEERS_EXACT) {
        Some(Kind::Steers)
    } else if within(&SESSION) {
        Some(Kind::Session)
    } else {
        within(&OWN).then_some(Kind::Own)
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Judges the name of a variable that the policy sets.
pub(super) fn set_name(name: &str) -> Result<(), Refusal> {
    if !is_name(name) {
        let message = format!("{} is not a variable's name", quote(name));
        return Err(Refusal::new(message, "write letters, digits and `_`, such as `EDITOR`"));
    }
    match judge(name) {
        None => Ok(()),
        Some(kind) => Err(Refusal::new(format!("{} {}", quote(name), kind.why()), kind.mend(name))),
    }
}

/// Judges the name of a variable that a token of the agent's goes by. It is for the command alone, which starts after the
/// confinement, so a name that looks like a secret may begin like any other: `CARGO_REGISTRY_TOKEN`.
pub fn secret_name(name: &str) -> Result<(), Refusal> {
    match set_name(name) {
        Err(_) if is_name(name) && looks_secret(&name.to_ascii_uppercase()) => Ok(()),
        judged => judged,
    }
}

fn looks_secret(name: &str) -> bool {
    SECRET_PARTS.iter().any(|part| name.contains(part))
        || name.split('_').any(|word| SECRET_WORDS.contains(&word))
        || name.ends_with("TOKEN")
}

/// Judges the value of a variable that the policy sets.
pub(super) fn set_value(value: &str) -> Result<(), Refusal> {
    if value.chars().any(char::is_control) {
        let message = format!("{} has a control character", quote(value));
        return Err(Refusal::new(message, "write the value on one line, without control characters"));
    }
    if value.len() > 32 * 1024 {
        return Err(Refusal::new("a value of more than 32 KiB", "put it into a file of the agent"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let pattern = |text: &str| text.parse::<EnvPattern>();
        assert!(pattern("LC_*").unwrap().matches("LC_ALL"));
        assert!(!pattern("LC_*").unwrap().matches("LC"));
        assert!(!pattern("LC_*").unwrap().matches("LC_API_KEY"));
        assert!(!pattern("LC_*").unwrap().matches("LC_A=b"));
        assert!(!pattern("LANG").unwrap().matches("LANGUAGE"));
        assert!(EnvPattern::defaults().iter().all(|p| pattern(p.as_str()).is_ok()));
    }

    #[test]
    fn refused_names() {
        let steers = [
            "LD_PRELOAD",
            "ld_preload",
            "BASH_ENV",
            "ENV",
            "IFS",
            "GIT_SSH_COMMAND",
            "PYTHONPATH",
            "PERL5LIB",
        ];
        let steers =
            steers.iter().chain(&["NODE_OPTIONS", "RUBYOPT", "DYLD_INSERT_LIBRARIES", "BASH_FUNC_x"]);
        let others = [
            "GITHUB_TOKEN",
            "OPENAI_API_KEY",
            "my_secret",
            "DB_PASSWORD",
            "SSH_AUTH_SOCK",
            "DISPLAY",
            "X_KEY_ID",
        ];
        let others = others.iter().chain(&[
            "DBUS_SESSION_BUS_ADDRESS",
            "XAUTHORITY",
            "AWS_PROFILE",
            "PATH",
            "HOME",
            "APIKEY",
        ]);
        for bad in steers.chain(others) {
            assert!(bad.parse::<EnvPattern>().is_err(), "{bad}");
            assert!(set_name(bad).is_err(), "{bad}");
        }
        for bad in ["LD_PRELOAD", "PATH", "HOME", "NODE_OPTIONS", "A B", ""] {
            assert!(secret_name(bad).is_err(), "{bad}");
        }
        for good in
            ["GH_TOKEN", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "CARGO_REGISTRY_TOKEN", "DATABASE_URL"]
        {
            assert!(secret_name(good).is_ok(), "{good}");
        }
        for bad in ["*", "", "L*", "P*", "PYTH*", "LD_*", "S*", "*_X", "A*B", "A B", "1A", "A=b", "ä"] {
            assert!(bad.parse::<EnvPattern>().is_err(), "{bad}");
        }
        for good in ["EDITOR", "TZ", "CI", "KEYBOARD", "PAGER", "TERM_PROGRAM", "LC_ALL", "https_proxy"] {
            assert!(good.parse::<EnvPattern>().is_ok(), "{good}");
        }
    }
}
