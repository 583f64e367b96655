//! Tokens: the agent has them, no list, log or command line shows them, and nobody else reads them.

use crate::common::{AGENT, Machine};
use std::{fs, os::unix::fs::MetadataExt};

const FILE: &str = "/var/lib/agentuser/t_bot/secrets.json";

#[test]
fn tokens_are_the_agents_alone() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let shell = |script: &str| human.sh(script, &[]);
    let in_project = |script: &str| shell(script);
    assert_eq!(in_project("agentuser run -- sh -c 'echo \"[$GH_TOKEN]\"'").ok().text(), "[]");
    shell("printf 'wort mit \"zeichen\"\n' | agentuser secret set GH_TOKEN").ok();
    shell("printf second | agentuser secret set OPENAI_API_KEY").ok();
    let listed = shell("agentuser secret list").ok();
    assert_eq!(listed.text(), "GH_TOKEN\nOPENAI_API_KEY");
    let json: serde_json::Value =
        serde_json::from_str(&shell("agentuser secret list --json").ok().text()).unwrap();
    assert_eq!(json["secrets"], serde_json::json!(["GH_TOKEN", "OPENAI_API_KEY"]));
    let said = in_project("agentuser run -- sh -c 'echo \"[$GH_TOKEN][$OPENAI_API_KEY]\"'").ok();
    assert_eq!(said.text(), "[wort mit \"zeichen\"][second]");
    let is = fs::metadata(FILE.replace("t_bot", AGENT)).unwrap();
    assert_eq!((is.uid(), is.mode() & 0o7777), (0, 0o640));
    let path = FILE.replace("t_bot", AGENT);
    // The agent reads its file and can't change it; the human, who may ask for its names, does not read it.
    in_project(&format!("agentuser run -- cat {path}")).ok();
    in_project(&format!("agentuser run -- sh -c 'echo x >{path} || exit 7'")).exits(7);
    in_project(&format!("agentuser run -- sh -c 'rm -f {path} || exit 7'")).exits(7);
    shell(&format!("cat {path} || exit 7")).exits(7);
    shell("agentuser secret remove GH_TOKEN").ok();
    assert_eq!(in_project("agentuser run -- sh -c 'echo \"[$GH_TOKEN]\"'").ok().text(), "[]");
    shell("agentuser secret remove GH_TOKEN").exits(1).mentions("has no `GH_TOKEN`");
    shell("agentuser secret remove OPENAI_API_KEY").ok();
    assert!(!std::path::Path::new(&path).exists(), "without tokens there is no file");
}

#[test]
fn what_is_no_token_is_refused() {
    let Some(machine) = Machine::set_up() else { return };
    let shell = |script: &str| machine.human().sh(script, &[]);
    for name in ["LD_PRELOAD", "PATH", "NODE_OPTIONS", "'A B'", "''"] {
        shell(&format!("printf x | agentuser secret set {name}")).exits(2);
    }
    shell("agentuser secret set GH_TOKEN </dev/null").exits(2).mentions("no value");
    shell("printf 'a\\0b' | agentuser secret set GH_TOKEN").exits(1);
    assert_eq!(shell("agentuser secret list --quiet").ok().text(), "");
    // The request is data, whoever makes it.
    for request in ["", "{}", "[]", "{\"set\":[\"PATH\",\"x\"]}", "{\"set\":[\"A_KEY\"]}"] {
        let line =
            format!("printf '%s' '{request}' | sudo -n /usr/local/bin/agentuser helper secret {AGENT}");
        assert_ne!(shell(&line).code(), Some(0), "{request}");
    }
    assert_eq!(shell("agentuser secret list --quiet").ok().text(), "");
    shell("printf x | agentuser secret set GH_TOKEN").ok();
    assert_eq!(shell("agentuser secret list").ok().text(), "GH_TOKEN");
}
