//! `net log` on macOS: names that the DNS gates refused are recorded, as on Linux. Packets are not, for pf tells no account of
//! a logged packet and keeps none: it hands them to whoever listens.

use crate::{
    cli::{Failure, Global, ask, invoker, net::log, printer},
    formats::pflog,
    host::{Program, by_itself},
};
use clap::{Args, Subcommand};
use std::{
    io::{BufRead, BufReader},
    process::{self, ExitCode, Stdio},
};

/// What a log that says nothing does not mean here.
pub(in crate::cli) const NOT_RECORDED: &str =
    " Names that the DNS gate refuses are recorded; packets are not: agentuser net log --packets";

#[derive(Subcommand, Debug)]
pub(crate) enum NetCommand {
    /// What was refused, and what to type about it
    Log(Arguments),
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recorded: log::Arguments,
    /// Packets instead: what the rules of agents refuse from now on, and with `log: all` what they let out
    #[arg(long, conflicts_with_all = ["follow", "since", "json"])]
    packets: bool,
}

fn program(program: Program) -> Result<process::Command, Failure> {
    let path = program.path();
    let path = path.ok_or_else(|| Failure::new(anyhow::anyhow!("`{}` is not there", program.name())))?;
    let mut command = process::Command::new(path);
    by_itself(&mut command);
    Ok(command)
}

pub(in crate::cli) fn net(global: &Global, command: &NetCommand) -> Result<ExitCode, Failure> {
    let NetCommand::Log(arguments) = command;
    if arguments.packets {
        return packets(global, arguments.recorded.blocked);
    }
    log::log(global, &arguments.recorded)
}

/// As it happens, for good.
fn packets(global: &Global, blocked: bool) -> Result<ExitCode, Failure> {
    if !invoker::is_root() {
        let mut line = vec!["net".into(), "log".into(), "--packets".into()];
        line.extend(blocked.then(|| "--blocked".into()));
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
        if packet.passed && blocked {
            continue;
        }
        let verdict = if packet.passed { "passed" } else { "refused" };
        let way = if packet.out { "to" } else { "from" };
        let other = if packet.out { packet.to } else { packet.from };
        printer::data(&format!("{verdict} {} {way} {other} on {}", packet.protocol, packet.interface));
    }
    Ok(ExitCode::from(u8::from(!child.wait()?.success())))
}
