//! The jobs of launchd(8) that keep the rules in force and the DNS gates running on macOS, and what launchctl(1) says of them.

/// The job, as an administrator may read it in the project's `pf/` directory.
const JOB: &str = include_str!("../../pf/org.agentuser.firewall.plist");

/// The job's label, which is also the name of its file.
pub const LABEL: &str = "org.agentuser.firewall";

/// Where the job's file goes.
pub const PATH: &str = "/Library/LaunchDaemons/org.agentuser.firewall.plist";

/// Where the job's own complaints go.
pub const LOG: &str = "/private/var/log/agentuser-firewall.log";

/// The job of the gates, as an administrator may read it in the project's `pf/` directory.
const GATES_JOB: &str = include_str!("../../pf/org.agentuser.gates.plist");

/// The label of the job of the gates.
pub const GATES: &str = "org.agentuser.gates";

/// Where its file goes.
pub const GATES_PATH: &str = "/Library/LaunchDaemons/org.agentuser.gates.plist";

/// Where its own complaints go.
pub const GATES_LOG: &str = "/private/var/log/agentuser-gates.log";

/// The file of the job of the gates.
pub fn render_gates(program: &str) -> String {
    GATES_JOB.replace("@PROGRAM@", program)
}

/// The job's file. The program's path is a fixed one of ours, without a character that XML would read otherwise.
pub fn render(program: &str) -> String {
    JOB.replace("@PROGRAM@", program)
}

/// What `launchctl print system/LABEL` says of a job that is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The file that it was loaded from.
    pub path: Option<String>,
    /// The program.
    pub program: Option<String>,
    /// How often it ran.
    pub runs: Option<u64>,
    /// How it last ended.
    pub last_exit: Option<i32>,
}

/// Reads the output of `launchctl print`. Apple says that its form is not an interface, so nothing in it is needed: a key that
/// is not found is none.
pub fn parse(text: &str) -> Job {
    // Keys of the job itself stand one tab in; those of its parts stand deeper.
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix('\t'));
        lines.filter(|line| !line.starts_with('\t')).find_map(|line| {
            let (name, value) = line.split_once(" = ")?;
            (name == key).then(|| value.trim().to_owned())
        })
    };
    Job {
        path: value("path"),
        program: value("program"),
        runs: value("runs").and_then(|runs| runs.parse().ok()),
        last_exit: value("last exit code").and_then(|code| code.split(':').next()?.trim().parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plist::Value;

    #[test]
    fn the_job_is_what_launchd_reads() {
        let program = "/Library/PrivilegedHelperTools/org.agentuser/agentuser";
        let job = Value::from_reader_xml(render(program).as_bytes()).unwrap();
        let job = job.as_dictionary().unwrap();
        let text = |key: &str| job.get(key).and_then(Value::as_string);
        let texts = |key: &str| -> Vec<_> {
            job.get(key).and_then(Value::as_array).unwrap().iter().filter_map(Value::as_string).collect()
        };
        assert_eq!(text("Label"), Some(LABEL));
        assert!(PATH.ends_with(&format!("/{LABEL}.plist")), "launchd wants the label for the file's name");
        assert_eq!(texts("ProgramArguments"), [program, "firewall", "ensure"]);
        assert_eq!(job.get("RunAtLoad").and_then(Value::as_boolean), Some(true));
        assert_eq!(job.get("StartInterval").and_then(Value::as_unsigned_integer), Some(60));
        assert_eq!(job.get("Umask").and_then(Value::as_unsigned_integer), Some(0o077));
        assert_eq!(texts("WatchPaths"), ["/private/etc/pf.conf"]);
        assert_eq!(text("ProcessType"), Some("Background"));
        assert_eq!(text("StandardErrorPath"), Some(LOG));
        let keys: Vec<_> = job.keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 8, "no KeepAlive, for it exits: {keys:?}");
    }

    #[test]
    fn the_job_of_the_gates_runs_all_the_time() {
        let job = Value::from_reader_xml(render_gates("/x/agentuser").as_bytes()).unwrap();
        let job = job.as_dictionary().unwrap();
        let text = |key: &str| job.get(key).and_then(Value::as_string);
        assert_eq!(text("Label"), Some(GATES));
        assert!(GATES_PATH.ends_with(&format!("/{GATES}.plist")));
        let arguments = job.get("ProgramArguments").and_then(Value::as_array).unwrap().iter();
        assert_eq!(
            arguments.filter_map(Value::as_string).collect::<Vec<_>>(),
            ["/x/agentuser", "firewall", "gate"]
        );
        for key in ["RunAtLoad", "KeepAlive"] {
            assert_eq!(job.get(key).and_then(Value::as_boolean), Some(true), "{key}");
        }
        assert_eq!(job.get("ThrottleInterval").and_then(Value::as_unsigned_integer), Some(1));
        assert_eq!(job.get("Umask").and_then(Value::as_unsigned_integer), Some(0o077));
        assert_eq!(text("StandardErrorPath"), Some(GATES_LOG));
        assert_eq!(job.len(), 7);
    }

    /// The shape of `launchctl print` on macOS 14.
    const LOADED: &str = "\
system/org.agentuser.firewall = {
\tactive count = 0
\tpath = /Library/LaunchDaemons/org.agentuser.firewall.plist
\ttype = LaunchDaemon
\tstate = not running

\tprogram = /Library/PrivilegedHelperTools/org.agentuser/agentuser
\targuments = {
\t\t/Library/PrivilegedHelperTools/org.agentuser/agentuser
\t\tpath = /tmp/elsewhere
\t\tensure
\t}

\truns = 17
\tlast exit code = 78: EX_CONFIG
}
";

    #[test]
    fn what_launchctl_prints() {
        let job = parse(LOADED);
        assert_eq!(job.path.as_deref(), Some(PATH));
        assert_eq!(job.program.as_deref(), Some("/Library/PrivilegedHelperTools/org.agentuser/agentuser"));
        assert_eq!((job.runs, job.last_exit), (Some(17), Some(78)));
        assert_eq!(parse("\tlast exit code = (never exited)\n").last_exit, None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(\t|[a-z ]{0,9}| = |\n|\\PC){0,60}") {
            parse(&text);
        }
    }
}
