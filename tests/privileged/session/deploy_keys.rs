//! A deploy key: git in its project reaches the repository by it, another project does not, and what it may do there the
//! other side decides. The other side is a real sshd, with a real repository of somebody else's behind it.

use crate::common::{AGENT, Human, Machine, Outcome, attempt, system, until};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const PORT: u16 = 2222;

/// The state's directory of the agent.
const STATE: &str = "/var/lib/agentuser/t_pv_bot";

/// The forge: an account with a repository, and an sshd that knows keys of that account alone.
struct Forge<'m> {
    account: &'m Human,
    dir: tempfile::TempDir,
    sshd: Child,
    made_run_dir: bool,
}

impl<'m> Forge<'m> {
    fn new(machine: &'m Machine, account: &'m Human) -> Self {
        let make = "set -e; cd; git init -q --bare -b main repo.git; git clone -q repo.git w; cd w; echo one >f
            git add f; git -c user.name=Bob -c user.email=b@example.com commit -qm one; git push -q origin HEAD:main
            mkdir -m 700 ~/.ssh";
        account.sh(make, &[]).ok();
        // Without PAM sshd takes an account with `!` as locked.
        system(&["usermod", "--password", "*", &account.name]);
        let made_run_dir = fs::create_dir("/run/sshd").is_ok();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        system(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &path("host")]);
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {PORT}\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n",
            path("host")
        );
        fs::write(path("config"), config).unwrap();
        let mut sshd = machine.root(&["/usr/sbin/sshd", "-D", "-e", "-f", &path("config")]);
        let log = fs::File::create(path("log")).unwrap();
        let sshd = sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let forge = Self { account, dir, sshd, made_run_dir };
        until("sshd listens", || forge.log().contains("Server listening"));
        forge
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn address(&self) -> String {
        format!("ssh://{}@127.0.0.1:{PORT}{}/repo.git", self.account.name, self.account.home.display())
    }

    /// The line by which somebody knows the forge.
    fn known_hosts(&self) -> String {
        let key = fs::read_to_string(self.dir.path().join("host.pub")).unwrap();
        format!("[127.0.0.1]:{PORT} {key}")
    }

    /// Adds a key, as a forge does: with the right to write or without it.
    fn add(&self, public: &str, write: bool) {
        // sshd gives the line to the account's shell, which finds there what git asked for.
        let refuse = "case $SSH_ORIGINAL_COMMAND in git-receive-pack*) echo this key is read-only >&2; exit 1;; esac; ";
        let run = "git-shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"";
        let command = format!("{}{run}", if write { "" } else { refuse });
        self.account.write(".ssh/authorized_keys", &format!("restrict,command=\"{command}\" {public}\n"));
    }

    fn head(&self) -> String {
        self.account.sh("git -C ~/repo.git rev-parse main", &[]).ok().text()
    }
}

impl Drop for Forge<'_> {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
        if self.made_run_dir {
            let _ = fs::remove_dir("/run/sshd");
        }
    }
}

/// The files of keys in the agent's state.
fn files() -> Vec<String> {
    let names = fs::read_dir(STATE).into_iter().flatten().flatten();
    let mut names: Vec<_> = names.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with("deploy-") || name == "known_hosts");
    names.sort();
    names
}

/// The private half's path.
fn private() -> PathBuf {
    let names = files();
    let stem = names.iter().find_map(|name| name.strip_suffix(".pub")).expect("a key");
    Path::new(STATE).join(stem)
}

/// An agent with two projects, who may call the forge.
fn set_up(view: &str) -> Option<Machine> {
    let machine = Machine::with_humans(2)?;
    let ann = machine.human();
    ann.make_dir("site");
    let policy = format!(
        "      - path: {}\n    view: {view}\n    network:\n      allow:\n        - loopback: [{PORT}]\n",
        ann.home.join("site").display()
    );
    machine.set_up_policy(&policy);
    Some(machine)
}

#[track_caller]
fn agent(machine: &Machine, line: &str) -> Outcome {
    let identity = "export GIT_AUTHOR_NAME=B GIT_AUTHOR_EMAIL=b@example.com GIT_COMMITTER_NAME=B \
                    GIT_COMMITTER_EMAIL=b@example.com; ";
    machine.human().run(&["agentuser", "run", "--", "sh", "-c", &format!("{identity}{line}")])
}

#[test]
fn a_key_for_one_project_read_only() {
    for view in ["private", "plain"] {
        let Some(machine) = set_up(view) else { return };
        let [ann, bob] = &machine.humans[..] else { unreachable!() };
        let forge = Forge::new(&machine, bob);
        let address = forge.address();
        ann.sh("mkdir -m 700 ~/.ssh; for d in ~/shop ~/site; do git init -q -b main $d; git -C $d remote add origin $1
            git -C $d config branch.main.remote origin; git -C $d config branch.main.merge refs/heads/main; done", &[&address]).ok();
        ann.write(".ssh/known_hosts", &forge.known_hosts());
        let before = forge.head();
        agent(&machine, "git fetch 2>&1 || exit 7").exits(7);

        let project = ann.project();
        machine.agentuser(&["secret", "key", project.to_str().unwrap()]).ok();
        // What the human's half has to say; the policy asks for the key already, so no password is needed.
        let said = ann.run(&["agentuser", "secret", "key"]).ok();
        said.clone().mentions("write access off").mentions("push --dry-run");
        assert!(!said.said().contains("does not reach"), "{said:?}");
        assert!(!said.said().contains("has no key of"), "{said:?}");
        let public = said.text();
        // ssh-keygen says that both halves belong together.
        let path = private();
        let derived =
            machine.command_as_agent(&["ssh-keygen", "-y", "-f", path.to_str().unwrap()]).ok().text();
        assert_eq!(public, derived);
        ann.run(&["agentuser", "secret", "list"])
            .ok()
            .mentions(&format!("deploy key for {}, read-only", project.display()));

        // The forge does not know it yet.
        agent(&machine, "git fetch || exit 7").exits(7).mentions("Permission denied");
        forge.add(&public, false);
        agent(&machine, "set -e; git fetch -q; git switch -q main; git pull -q; test \"$(cat f)\" = one")
            .ok();
        agent(&machine, "git clone -q $(git remote get-url origin) inner && test -e inner/f && rm -rf inner")
            .ok();
        // Another project of the same agent does not get the key, and neither does its home, where the host is known, too.
        agent(&machine, &format!("mkdir -m 700 ~/.ssh; cp {STATE}/known_hosts ~/.ssh/known_hosts")).ok();
        agent(&machine, "cd ../site && git fetch || exit 7").exits(7).mentions("Permission denied");
        let elsewhere = format!("cd && git clone -q {address} x || exit 7");
        agent(&machine, &elsewhere).exits(7);
        // The other side refuses to be pushed to.
        agent(&machine, "echo two >f; git commit -qam two; git push --dry-run || exit 7")
            .exits(7)
            .mentions("read-only");
        agent(&machine, "git push || exit 7").exits(7);
        assert_eq!(forge.head(), before);
        // The control: with the right to write, the same push is taken.
        machine.agentuser(&["secret", "key", "--write", project.to_str().unwrap()]).ok();
        assert_eq!(
            ann.run(&["agentuser", "secret", "key", "--write"]).ok().text(),
            public,
            "it is the same key"
        );
        forge.add(&public, true);
        agent(&machine, "git push").ok();
        assert_ne!(forge.head(), before);
        // git of the human's goes its own ways.
        ann.sh("git fetch || exit 7", &[]).exits(7);
    }
}

#[test]
fn the_private_half_is_out_of_reach_for_change() {
    let Some(machine) = set_up("private") else { return };
    let ann = machine.human();
    let project = ann.project();
    let project = project.to_str().unwrap();
    machine.agentuser(&["secret", "key", project]).ok();
    let path = private();
    let path = path.to_str().unwrap();
    let gid: u32 = system(&["id", "-g", AGENT]).parse().unwrap();
    let is = fs::metadata(path).unwrap();
    assert_eq!((is.uid(), is.gid(), is.mode() & 0o7777), (0, gid, 0o640));
    agent(&machine, &format!("cat {path} >/dev/null")).ok();
    agent(&machine, &format!("echo x >{path} || exit 7")).exits(7);
    agent(&machine, &format!("rm -f {path} || exit 7")).exits(7);
    agent(&machine, &format!("echo x >{STATE}/gitconfig || exit 7")).exits(7);
    ann.sh(&format!("cat {path} || exit 7"), &[]).exits(7);
    let key = fs::read(path).unwrap();
    let in_order = || ann.run(&["agentuser", "status"]).ok().mentions("a deploy key of");
    in_order();

    // What drifts is told, and mended without another key.
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    ann.run(&["agentuser", "status"]).exits(1).mentions("the mode of");
    machine.agentuser(&["setup", "--yes"]).ok();
    fs::write(format!("{path}.pub"), "ssh-ed25519 AAAA else\n").unwrap();
    ann.run(&["agentuser", "status"]).exits(1).mentions("is not the public half");
    machine.agentuser(&["setup", "--yes"]).ok();
    in_order();
    assert_eq!(fs::read(path).unwrap(), key);
    machine.agentuser(&["reset", "--yes"]).ok();
    assert_eq!(fs::read(path).unwrap(), key, "a fresh home has the same key");
    // One that is lost is another one from then on.
    fs::remove_file(path).unwrap();
    ann.run(&["agentuser", "status"]).exits(1).mentions("missing");
    machine.agentuser(&["secret", "key", project]).ok();
    assert_ne!(fs::read(path).unwrap(), key);

    machine.agentuser(&["secret", "key", "--remove", project]).ok();
    assert_eq!(files(), Vec::<String>::new());
    ann.run(&["agentuser", "secret", "list", "--quiet"]).ok();
    machine.agentuser(&["secret", "key", "--remove", project]).exits(1).mentions("has no key");
    ann.run(&["agentuser", "secret", "key", "/usr"]).exits(1).mentions("is not shared");
    // With the project goes its key.
    machine.agentuser(&["secret", "key", project]).ok();
    machine.agentuser(&["unshare", project]).ok();
    assert_eq!(files(), Vec::<String>::new());
}

#[test]
fn a_teardown_takes_keys_and_hosts_along() {
    let Some(machine) = Machine::take() else { return };
    let ann = machine.human();
    let policy = machine.policy_file("        deploy-key: read-write\n");
    let before = machine.snapshot();
    machine.agentuser(&["setup", "--yes", "--policy", &policy]).ok();
    ann.sh("mkdir -m 700 ~/.ssh; git init -q; git remote add origin ssh://git@127.0.0.1:2222/x.git", &[])
        .ok();
    let known = format!(
        "[127.0.0.1]:{PORT} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n"
    );
    let file = ann
        .write(".ssh/known_hosts", &format!("other.example ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ\n{known}"));
    attempt(&["ssh-keygen", "-q", "-H", "-f", file.to_str().unwrap()]);
    ann.run(&["agentuser", "secret", "key", "--write"]).ok().mentions("does not reach 127.0.0.1:2222");
    // Hashed names are found, and nothing else of the human's list is handed on.
    let handed = fs::read_to_string(format!("{STATE}/known_hosts")).unwrap();
    assert_eq!(handed.lines().count(), 1, "{handed}");
    let looked_up = Command::new("ssh-keygen")
        .args(["-F", "[127.0.0.1]:2222", "-f", &format!("{STATE}/known_hosts")])
        .output()
        .unwrap();
    assert!(looked_up.status.success());
    // The request is data, whoever makes it.
    for request in
        ["{\"known-hosts\":[\"a\\nb ssh-rsa AAAAAAAAAAAAAAAAAAAAAAAA\"]}", "{\"known-hosts\":[\"x\"]}"]
    {
        let line =
            format!("printf '%s' '{request}' | sudo -n /usr/local/bin/agentuser helper secret {AGENT}");
        assert_ne!(ann.sh(&line, &[]).code(), Some(0), "{request}");
    }
    assert_eq!(fs::read_to_string(format!("{STATE}/known_hosts")).unwrap(), handed);
    machine.tear_down(AGENT);
    ann.sh("rm -rf ~/.ssh .git", &[]).ok();
    machine.snapshot().assert_same_as(&before, "after a teardown with a key");
}
