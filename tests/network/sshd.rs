//! A way in around `enter`: sshd, with a key that the agent put into its own home.

use crate::{
    support::{Running, run, sh},
    world::{AGENT, Who, World},
};
use std::{fs, path::Path};

const ACCOUNTS: [&str; 2] = [AGENT, "t_nw_ann"];

/// Starts sshd on the host with this configuration, at port 2222.
fn sshd(world: &World, dir: &str, text: &str) -> Running {
    fs::write(
        format!("{dir}/config"),
        format!("{text}\nPort 2222\nHostKey {dir}/host\nPidFile none\nPasswordAuthentication no\n"),
    )
    .unwrap();
    let line = format!("/usr/sbin/sshd -D -e -f {dir}/config 2>&1");
    let sshd = world.start(Who::Root, &["sh", "-c", &format!("exec {line}")]);
    sshd.wait_for("Server listening");
    sshd
}

/// Who is let in with the key.
fn let_in(world: &World, dir: &str) -> Vec<&'static str> {
    let key = format!("{dir}/key");
    let mut let_in = ACCOUNTS.to_vec();
    let_in.retain(|account| {
        let line = format!(
            "ssh -F none -i {key} -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -p 2222 {account}@192.0.2.10 id -un"
        );
        let out = world.run(Who::Remote, &line.split_ascii_whitespace().collect::<Vec<_>>());
        out.stdout.trim() == *account
    });
    let_in
}

#[test]
fn a_key_of_the_agents_own_opens_nothing() {
    let Some(world) = World::with("{}") else { return };
    if !Path::new("/usr/sbin/sshd").exists() {
        eprintln!("skipped: there is no sshd");
        return;
    }
    let needs_run_dir = !Path::new("/run/sshd").exists();
    if needs_run_dir {
        fs::create_dir("/run/sshd").unwrap();
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    for key in ["key", "host"] {
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &format!("{dir}/{key}")]).ok();
    }
    for account in ACCOUNTS {
        let ssh = format!("/home/{account}/.ssh");
        sh(&format!("install -d -m 700 -o {account} -g {account} {ssh}"));
        sh(&format!("install -m 600 -o {account} -g {account} {dir}/key.pub {ssh}/authorized_keys"));
    }
    // Without PAM sshd takes an account with `!` as locked, whatever its keys.
    for account in ACCOUNTS {
        sh(&format!("usermod --password * {account}"));
    }
    let mut found = Vec::new();
    for pam in ["yes", "no"] {
        let reads = format!("UsePAM {pam}\nInclude /etc/ssh/sshd_config.d/*.conf");
        for config in [reads, format!("UsePAM {pam}")] {
            let server = sshd(&world, dir, &config);
            found.push(let_in(&world, dir));
            drop(server);
        }
    }
    if needs_run_dir {
        let _ = fs::remove_dir("/run/sshd");
    }
    let both = ACCOUNTS.to_vec();
    let human = vec!["t_nw_ann"];
    assert_eq!(found, [human.clone(), both.clone(), human, both]);
}
