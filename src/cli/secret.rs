//! `secret`: the agent's own tokens. Values are read without echo or from a pipe, and are never shown.

use super::{Failure, Global, ask, deploy_key, invoker, printer};
use crate::{
    engine::{Receipt, Scope},
    host::{Lock, System},
    launch::{
        secrets::{self as tokens, LONGEST, Request, Secrets},
        sudo,
    },
    model::{AbsPath, AccountName, harmless},
    policy::{self, DeployKey},
};
use clap::Subcommand;
use std::{
    io::{Read, Write},
    process::{ExitCode, Stdio},
    time::Duration,
};

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Give the agent a token, such as `GH_TOKEN`: asked for without echo, or read from standard input
    Set {
        /// The variable in which the agent finds it
        name: String,
    },
    /// Make a key of the agent's own for the repository of a project, and print its public half
    Key(deploy_key::Arguments),
    /// Which tokens and keys the agent has; their values are not shown
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token away
    Remove {
        /// Its variable
        name: String,
    },
}

pub(crate) fn secret(global: &Global, command: &Command) -> Result<ExitCode, Failure> {
    let (_, policy) =
        invoker::policy()?.ok_or_else(|| Failure::usage("nothing is set up").hint("agentuser setup"))?;
    let agent = invoker::agent(&policy, global)?;
    match command {
        Command::Key(arguments) => return deploy_key::key(global, arguments),
        Command::Set { name } => {
            policy::secret_name(name).map_err(|refusal| {
                let hint = refusal.hint().to_owned();
                Failure::usage(refusal.to_string()).hint(hint)
            })?;
            request(&agent, &Request::Set(name.clone(), value(name)?))?;
            if !global.quiet {
                printer::data(&format!("{agent} has {name} from its next session on."));
            }
        }
        Command::List { json } => {
            let names = request(&agent, &Request::List)?;
            let keys = deploy_key::list(&policy, &agent)?;
            if *json {
                let key = |(project, access, public): &(AbsPath, DeployKey, String)| serde_json::json!({"project": project, "access": access.to_string(), "public": public});
                let keys: Vec<_> = keys.iter().map(key).collect();
                let object =
                    serde_json::json!({"version": 1, "agent": agent, "secrets": names, "deploy_keys": keys});
                printer::data(&object.to_string());
            } else if names.is_empty() && keys.is_empty() && !global.quiet {
                printer::say(&format!("{agent} has no tokens; agentuser secret set NAME"));
            } else {
                for name in &names {
                    printer::data(name);
                }
                for (project, access, _) in &keys {
                    printer::data(&harmless(&format!("deploy key for {project}, {access}")));
                }
            }
        }
        Command::Remove { name } => {
            if !request(&agent, &Request::List)?.contains(name) {
                let error = anyhow::anyhow!("{agent} has no `{}`", name.escape_debug());
                return Err(Failure::new(error).hint("agentuser secret list"));
            }
            request(&agent, &Request::Remove(name.clone()))?;
            if !global.quiet {
                printer::data(&format!(
                    "{agent} does not get {name} any more; sessions that run have it until `agentuser stop`."
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The value: from whoever is at the terminal, else from standard input, less one newline at its end.
fn value(name: &str) -> Result<String, Failure> {
    if ask::possible() {
        return ask::unseen(name);
    }
    let mut text = String::new();
    std::io::stdin().lock().take(LONGEST as u64 + 2).read_to_string(&mut text)?;
    if let Some(line) = text.strip_suffix('\n') {
        text.truncate(line.len());
    }
    if text.is_empty() {
        return Err(Failure::usage("there is no value on standard input")
            .hint(format!("agentuser secret set {name} < FILE, or the same on a terminal")));
    }
    Ok(text)
}

/// Has root's helper do it, and answers the names that there are then.
pub(super) fn request(agent: &AccountName, request: &Request) -> Result<Vec<String>, Failure> {
    let mut command = sudo("root")?;
    command.args(["helper", "secret", agent.as_str()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut to) = child.stdin.take() {
        to.write_all(&serde_json::to_vec(request).map_err(Failure::new)?)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(Failure::new(anyhow::anyhow!("the tokens of {agent} could not be changed or read"))
            .hint("agentuser status"));
    }
    serde_json::from_slice(&output.stdout).map_err(Failure::new)
}

/// How long root's half waits for the whole request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Root's half: what sudo lets the human call, with the request on standard input.
pub(super) fn helper(agent: &AccountName) -> Result<ExitCode, Failure> {
    // Nobody waits for the lock while the caller makes up its mind, nor while it reads the answer.
    let request = Request::read(std::io::stdin(), PATIENCE)?;
    let lock = Lock::take(super::setup::PATIENCE, || {})?;
    let receipt = Receipt::load(&Scope::Agent(agent.clone()), &System::new())?;
    let gid = receipt.account().map(|account| account.gid).ok_or_else(|| {
        Failure::new(anyhow::anyhow!("no receipt tells of an agent `{agent}`")).hint("agentuser setup")
    })?;
    let mut secrets = Secrets::read(agent)?;
    match request {
        Request::List => {}
        Request::Set(name, value) => {
            secrets.set(&name, value).map_err(Failure::new)?;
            secrets.store(agent, gid, &mut System::new())?;
        }
        Request::KnownHosts(lines) => tokens::know_hosts(agent, &lines, &mut System::new())?,
        Request::Remove(name) => {
            if secrets.remove(&name) {
                secrets.store(agent, gid, &mut System::new())?;
            }
        }
    }
    drop(lock);
    let names: Vec<_> = secrets.names().collect();
    printer::data(&serde_json::to_string(&names).map_err(Failure::new)?);
    Ok(ExitCode::SUCCESS)
}
