//! git in a shared project: all of it works for the agent, but for what would run as the human.

use crate::common::{AGENT, Machine, Outcome, View, system};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Makes the human's project a repository with a remote and a submodule, and shares it.
#[track_caller]
fn set_up(lines: &str) -> Option<Machine> {
    let machine = Machine::take()?;
    let make = "set -e
        git config --global user.name Ann; git config --global user.email ann@example.com
        git config --global init.defaultBranch main; git config --global protocol.file.allow always
        git init -q ~/lib; cd ~/lib; echo x >f; git add f; git commit -qm first
        cd ~/shop; git init -q .; git init -q --bare remote.git; printf 'remote.git\nlog\n' >.gitignore
        git add -A; git commit -qm first; git submodule --quiet add ~/lib vendor/lib; git commit -qm lib
        git remote add origin ~/shop/remote.git; git push -q -u origin main";
    machine.human().sh(make, &[]).ok();
    machine.set_up_policy(lines);
    // A bare repository inside of the project: before git 2.46 no entry names it.
    agent(&machine, "git config --global --add safe.directory \"$PWD/remote.git\"").ok();
    Some(machine)
}

#[track_caller]
fn agent(machine: &Machine, line: &str) -> Outcome {
    machine.human().run(&["agentuser", "run", "--", "sh", "-c", line])
}

/// Whatever git the agent has, it asks no question in a submodule, nor in one of several checkouts in a directory.
#[test]
fn repositories_inside_of_a_project() {
    let Some(machine) = set_up("") else { return };
    let human = machine.human();
    human.sh("mkdir -p ../src/group; for r in a group/b; do git clone -q ~/lib ../src/$r; done", &[]).ok();
    let src = human.home.join("src");
    machine.agentuser(&["share", src.to_str().unwrap()]).ok();
    let gits = ["/usr/bin", "/usr/local/bin"].into_iter().filter(|dir| Path::new(dir).join("git").exists());
    for dir in gits {
        let each = format!(
            "for r in ../shop/vendor/lib ../src/a ../src/group/b; do {dir}/git -C $r status || exit 7; done"
        );
        agent(&machine, &each).ok();
        // The controls: without the entries git asks, and elsewhere it does so anyway.
        agent(&machine, &format!("export GIT_CONFIG_SYSTEM=/dev/null; {each}")).exits(7).mentions("dubious");
        let version = system(&[&format!("{dir}/git"), "--version"]);
        let minor = version.split(['.', ' ']).nth(3).and_then(|minor| minor.parse::<u32>().ok());
        if version.starts_with("git version 2.") && minor.is_some_and(|minor| minor < 46) {
            agent(&machine, &format!("export HOME=/tmp; {each}")).exits(7).mentions("dubious");
        }
    }
    // What is made later is there in the next session, and what is gone is not.
    human.sh("git clone -q ~/lib ../src/later && rm -rf ../src/a", &[]).ok();
    agent(&machine, "/usr/bin/git -C ../src/later status; ! grep src/a\\\" ~/.config/agentuser/repositories")
        .ok();
}

/// Where every git of the machine takes the pattern, a launch looks for nothing; the control is one that is older.
#[test]
fn nothing_is_looked_for_where_git_takes_patterns() {
    // Without a guard, which leaves word as well.
    let Some(machine) = set_up("    network: {dns: none, log: none}\n") else { return };
    let fake = format!("/tmp/t_pv_git_{}", std::process::id());
    for (version, looked) in [("2.46.0", false), ("2.45.9", true), ("2.50.1", false), ("nonsense", true)] {
        fs::write(&fake, format!("#!/bin/sh\necho git version {version}\n")).unwrap();
        system(&["chmod", "755", &fake]);
        // In a mount namespace of its own root finds this one alone, and asks it as after a boot.
        let line = "rm /run/agentuser/$2.loaded; for git in /usr/bin/git /usr/local/bin/git; do
                if [ -e $git ]; then mount --bind \"$1\" $git; fi
            done; exec /usr/local/bin/agentuser helper ensure \"$2\"";
        machine.inside(&["unshare", "--mount", "sh", "-ec", line, "sh", &fake, AGENT]);
        let stamp = fs::read_to_string(format!("/run/agentuser/{AGENT}.loaded")).unwrap();
        assert_eq!(stamp.contains("\"by-pattern\""), !looked, "{version}");
        agent(&machine, "rm -f ~/.config/agentuser/repositories").ok();
        let there = agent(&machine, "test -s ~/.config/agentuser/repositories").status.success();
        assert_eq!(there, looked, "{version}");
    }
    fs::remove_file(&fake).unwrap();
}

const WORK: &str = "set -e
    git config --global user.name Bot; git config --global user.email bot@example.com
    git status --short; git log --oneline | grep first
    echo y >g; git add g; git commit -qm second
    git switch -q -c topic; echo z >h; git add h; git commit -qm third
    git switch -q main; echo w >i; git add i; git commit -qm fourth
    git switch -q topic; git rebase -q main; git switch -q main; git merge -q topic; git branch -q -d topic
    echo more >>g; git stash -q; git stash pop -q; git checkout -q g
    git worktree add -q side; git -C side status --short; git worktree remove side; git branch -q -D side
    git push -q; git fetch -q; git pull -q --rebase; git gc -q; git fsck
    git -C vendor/lib status --short; git -C vendor/lib log --oneline; test -z \"$(git status --porcelain)\"";

#[test]
fn all_of_git_works_as_the_agent() {
    for lines in ["", "    view: plain\n"] {
        let Some(machine) = set_up(lines) else { return };
        agent(&machine, WORK).ok();
        let log = machine.human().run(&["git", "log", "--oneline"]).ok().text();
        assert_eq!(log.lines().count(), 5, "{log}");
        machine.human().sh("git status && git push && git gc -q && git -C vendor/lib status", &[]).ok();
        // Elsewhere git's own question stays.
        let strange = "git init -q /tmp/t_pv_repo && chown -R 0:0 /tmp/t_pv_repo";
        machine.inside(&["sh", "-c", strange]);
        let asks = machine.human().run(&[
            "agentuser",
            "run",
            "--home",
            "--",
            "git",
            "-C",
            "/tmp/t_pv_repo",
            "status",
        ]);
        fs::remove_dir_all("/tmp/t_pv_repo").unwrap();
        assert!(!asks.status.success(), "{asks:?}");
    }
}

/// Each changes what git runs as whoever calls it.
const PLANTS: [&str; 12] = [
    "git config core.fsmonitor ./evil",
    "echo '[core] fsmonitor = ./evil' >>.git/config",
    "cp .git/config c && mv c .git/config",
    "rm .git/config",
    "echo evil >.git/hooks/pre-commit",
    "mkdir .git/hooks/x",
    "rmdir .git/hooks || rm -r .git/hooks",
    "mv .git/hooks .git/h",
    "echo x >>.git/modules/vendor/lib/config",
    "mv .git/modules/vendor/lib .git/modules/vendor/l",
    "mv .git/modules .git/m",
    "mv .git g",
];

/// B19
#[test]
fn b19_what_git_executes_is_not_the_agents_to_write() {
    let Some(machine) = set_up("") else { return };
    for plant in PLANTS {
        let outcome = agent(&machine, plant);
        assert!(!outcome.status.success(), "{plant}: {outcome:?}");
    }
    agent(&machine, "rm -f c").ok();
    agent(&machine, WORK).ok();
    machine.human().run(&["git", "status"]).ok();
    drop(machine);
    // Control: where the guard is off each works.
    let Some(machine) = set_up("        git: open\n") else { return };
    machine.human().run(&["cp", "-a", ".git", "saved"]).ok();
    for plant in PLANTS {
        agent(&machine, plant).ok();
        system(&["sh", "-c", "cd /home/t_pv_ann/shop && rm -rf .git g m && cp -a saved .git"]);
    }
}

/// The agent's program runs as the human, who only asks for the status, unless the guard is there.
#[test]
fn b19_a_planted_program_runs_as_the_human_without_the_guard_alone() {
    for (line, runs) in [("        git: open\n", true), ("        git: guard\n", false)] {
        let Some(machine) = set_up(line) else { return };
        let plant =
            "printf '#!/bin/sh\\nid -un >log\\n' >evil; chmod +x evil; git config core.fsmonitor ./evil";
        agent(&machine, plant);
        machine.human().run(&["git", "status"]);
        let log = fs::read_to_string(machine.human().project().join("log")).unwrap_or_default();
        assert_eq!(log.trim() == machine.human().name, runs, "{line}");
    }
}

/// A repository without `hooks` gets an empty one, of the human's.
#[test]
fn what_templates_left_out_is_made_by_the_human() {
    let Some(machine) = set_up("") else { return };
    let human = machine.human();
    human.sh("rm -r .git/hooks && mkdir bare && cd bare && git init -q --template= .", &[]).ok();
    agent(&machine, "! touch .git/hooks/post-commit").ok();
    let hooks = fs::metadata(human.project().join(".git/hooks")).unwrap();
    assert_eq!(hooks.uid(), human.uid);
    // Root makes nothing itself: by hand the same launch is refused.
    human.run(&["rm", "-r", ".git/hooks"]).ok();
    let argv = [&View::Private.way_in()[..], &["--directory=", "--", "true"]].concat();
    human.run(&argv).exits(125).mentions("is missing").mentions("git: open");
    assert!(!human.project().join(".git/hooks").exists());
}

/// What can't be guarded is refused, and works once the policy says so.
#[test]
fn repositories_that_can_not_be_guarded() {
    let Some(machine) = set_up("") else { return };
    let human = machine.human();
    for (make, undo, words) in [
        ("mv .git real && ln -s real .git", "rm .git && mv real .git", "is a symbolic link"),
        (
            "mv .git/hooks h && ln -s ../h .git/hooks",
            "rm .git/hooks && mv h .git/hooks",
            "is a symbolic link",
        ),
        (
            "mv .git/config c && ln -s ../c .git/config",
            "rm .git/config && mv c .git/config",
            "is a symbolic link",
        ),
        (
            "mv .git/config c && mkdir .git/config",
            "rmdir .git/config && mv c .git/config",
            "is not of the type",
        ),
        ("mv .git real && mkfifo .git", "rm .git && mv real .git", "is neither a directory nor a file"),
    ] {
        human.sh(make, &[]).ok();
        agent(&machine, "true").exits(125).mentions(words).mentions("git: open");
        human.sh(undo, &[]).ok();
        agent(&machine, "git status").ok();
    }
    human.sh("mv .git real && ln -s real .git", &[]).ok();
    machine.set_up_policy("        git: open\n");
    agent(&machine, "git status").ok();
}

/// The file by which a linked worktree finds its repository, in a project of its own beside the repository's.
#[test]
fn linked_worktrees() {
    let Some(machine) = set_up("") else { return };
    let human = machine.human();
    human.run(&["git", "worktree", "add", "-q", "../side"]).ok();
    machine.agentuser(&["share", human.home.join("side").to_str().unwrap()]).ok();
    let run = |line: &str| {
        let dir = human.home.join("side");
        human.run(&["agentuser", "run", "--project", dir.to_str().unwrap(), "--", "sh", "-c", line])
    };
    run("git status && echo x >k && git add k && git -c user.name=Bot -c user.email=bot@example.com commit -qm k").ok();
    for plant in ["echo gitdir: /tmp >.git", "mv .git g", "rm .git", "git config core.fsmonitor ./evil"] {
        assert!(!run(plant).status.success(), "{plant}");
    }
    human.sh("cd ../side && git log --oneline | grep k", &[]).ok();
}

/// The plain view can't guard, and says so.
#[test]
fn under_the_plain_view_git_is_only_looked_at() {
    let Some(machine) = set_up("    view: plain\n") else { return };
    machine.human().run(&["agentuser", "status"]).ok().mentions("git: audit only");
    let human = machine.human();
    let policy = format!(
        "version: 1\nagents:\n  {AGENT}:\n    human: {}\n    view: plain\n    projects:\n      - path: {}\n        \
         git: guard\n",
        human.name,
        human.project().display()
    );
    let file = human.write("policy2.yaml", &policy);
    machine
        .agentuser(&["setup", "--yes", "--policy", file.to_str().unwrap()])
        .exits(2)
        .mentions("git: guard")
        .mentions("view: private");
    machine.set_up_policy("");
    human.run(&["agentuser", "status"]).ok().mentions("git: guard");
    assert!(Path::new(&format!("/var/lib/agentuser/{AGENT}/gitconfig")).exists());
}
