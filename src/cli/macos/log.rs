//! `net log`: what the agents' rules refused, as it happens. Nothing is kept on macOS: pf hands packets to whoever listens.

use crate::{
    cli::{Failure, Global, ask, invoker, printer},
    formats::pflog,
    host::{Program, SYSTEM_PATH},
};
use clap::{Args, Subcommand};
use std::{
    io::{BufRead, BufReader},
    process::{self, ExitCode, Stdio},
};

#[derive(Subcommand, Debug)]
pub(crate) enum NetCommand {
    /// What the rules of agents refuse from now on, and with `log: all` what they let out
    Log(Arguments),
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Refusals alone
    #[arg(long)]
    blocked: bool,
}

fn program(program: Program) -> Result<process::Command, Failure> {
    let path = program.path();
    let path = path.ok_or_else(|| Failure::new(anyhow::anyhow!("`{}` is not there", program.name())))?;
    let mut command = process::Command::new(path);
    command.env_clear().env("PATH", SYSTEM_PATH).env("LC_ALL", "C").current_dir("/");
    Ok(command)
}

pub(in crate::cli) fn net(global: &Global, command: &NetCommand) -> Result<ExitCode, Failure> {
    let NetCommand::Log(arguments) = command;
    if !invoker::is_root() {
        let mut line = vec!["net".into(), "log".into()];
        line.extend(arguments.blocked.then(|| "--blocked".into()));
        return invoker::raise(&line, ask::possible());
    }
    // It is there already once somebody has listened since the start.
    let made = program(Program::Ifconfig)?.args(["pflog0", "create"]).stderr(Stdio::null()).status()?;
    if !(made.success() || global.quiet) {
        printer::say("pflog0 is there already");
    }
    let mut child = program(Program::Tcpdump)?
        .args(["-n", "-e", "-l", "-ttt", "-i", "pflog0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(out) = child.stdout.take() else { return Ok(ExitCode::from(1)) };
    for line in BufReader::new(out).lines() {
        let Some(packet) = pflog::parse(&line?) else { continue };
        if packet.passed && arguments.blocked {
            continue;
        }
        let verdict = if packet.passed { "passed" } else { "refused" };
        let way = if packet.out { "to" } else { "from" };
        let other = if packet.out { packet.to } else { packet.from };
        printer::data(&format!("{verdict} {} {way} {other} on {}", packet.protocol, packet.interface));
    }
    Ok(ExitCode::from(u8::from(!child.wait()?.success())))
}
