//! Programs that are not to be trusted with our time or our memory: each ends within a limit, says no more than a limit, and
//! takes what it started with it.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What a program said.
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Said {
    /// What it said on standard output, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a program to its end, or to ours; what it started goes with it.
pub(crate) fn output(mut command: Command, most: u64, patience: Duration) -> io::Result<Said> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().map(|pipe| listen(pipe, most));
    let stderr = child.stderr.take().map(|pipe| listen(pipe, most));
    let status = wait(&mut child, patience);
    // Whoever is left of its group would keep the pipes open.
    end_group(&child);
    let status = status?;
    let said = |listener: Option<JoinHandle<io::Result<Vec<u8>>>>| {
        listener.map_or_else(
            || Ok(vec![]),
            |thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("lost"))),
        )
    };
    Ok(Said { status, stdout: said(stdout)?, stderr: said(stderr)? })
}

fn listen(pipe: impl Read + Send + 'static, most: u64) -> JoinHandle<io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        pipe.take(most + 1).read_to_end(&mut said)?;
        if said.len() as u64 > most {
            return Err(io::Error::other(format!("it said more than {most} bytes")));
        }
        Ok(said)
    })
}

/// Waits for a child; one that takes too long is killed.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end {
            end_group(child);
            child.wait()?;
            return Err(io::Error::other(format!("it did not end in {} seconds", patience.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills what is left of a child's process group, which has its id.
pub(crate) fn end_group(child: &Child) {
    use nix::{
        sys::signal::{Signal, killpg},
        unistd::Pid,
    };
    if let Ok(group) = i32::try_from(child.id()) {
        // ESRCH says that nothing is left.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str, most: u64, millis: u64) -> io::Result<Said> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        output(command, most, Duration::from_millis(millis))
    }

    #[test]
    fn a_program_is_bounded_in_time_and_in_what_it_says() {
        let said = sh("echo a; echo b >&2; exit 3", 100, 5000).unwrap();
        assert_eq!(
            (said.status.code(), said.text().as_str(), said.stderr.as_slice()),
            (Some(3), "a\n", &b"b\n"[..])
        );
        assert!(sh("sleep 60", 100, 100).is_err());
        assert!(sh("yes", 1000, 5000).is_err());
        // What it leaves behind does not hold us up.
        let begun = Instant::now();
        sh("sleep 60 & echo x", 100, 5000).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
