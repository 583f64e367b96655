//! A real job: the agent clones a repository, builds it without a network, runs its tests; the human edits and commits the
//! result.

use crate::common::Machine;

const TEST: &str = r#"
#[cfg(test)]
mod tests {
    use std::{io::{Read, Write}, net::{TcpListener, TcpStream}};

    #[test]
    fn a_server_of_its_own_answers() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let mut call = server.accept().unwrap().0;
        client.write_all(b"hi").unwrap();
        drop(client);
        let mut text = String::new();
        call.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hi");
    }
}
"#;

#[test]
fn clone_build_test_edit_commit() {
    let Some(machine) = Machine::set_up() else { return };
    let human = machine.human();
    let project = human.project().display().to_string();
    let sh = |script: &str| human.run(&["sh", "-ec", script]);
    let agent = |script: &str| human.run(&["agentuser", "run", "--", "sh", "-ec", script]);

    // The human's repository stands in the shared project.
    sh(&format!(
        "cd {project} && git init -q origin && cd origin && mkdir src &&
         printf '[package]\\nname = \"thing\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n' >Cargo.toml &&
         cat >src/lib.rs <<'END'\n{TEST}\nEND\n
         git add . && git -c user.name=h -c user.email=h@example.com commit -qm first"
    ))
    .ok();

    // The agent's own git asks it to name a repository that is not its own; then it clones, builds and tests.
    agent(&format!(
        "git config --global --add safe.directory {project}/origin/.git
         cd {project} && git clone -q origin work && cd work && /usr/bin/cargo build --quiet --offline"
    ))
    .ok();
    agent(&format!("cd {project}/work && /usr/bin/cargo test --offline 2>&1"))
        .ok()
        .mentions("a_server_of_its_own_answers ... ok");

    // The human edits a file that the agent made, builds over its output, and commits in its clone.
    sh(&format!(
        "cd {project}/work && echo '// by the human' >>src/lib.rs && /usr/bin/cargo test --quiet --offline >&2 &&
         git config --global --add safe.directory {project}/work &&
         git -c user.name=h -c user.email=h@example.com commit -qam second && git log --format=%s"
    ))
    .ok()
    .mentions("second\nfirst");

    // And the agent goes on where the human stopped.
    agent(&format!("cd {project}/work && git log --format=%s && /usr/bin/cargo clean --quiet --offline"))
        .ok()
        .mentions("second\nfirst");
}
