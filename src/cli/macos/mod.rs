//! The command line on macOS. It has the commands that are built there; what each does is in the file of its name.

#[path = "../ask.rs"]
#[expect(dead_code, reason = "setup asks for less here: it takes a policy file")]
mod ask;
mod enter;
#[path = "../failure.rs"]
mod failure;
mod firewall;
#[path = "../invoker.rs"]
mod invoker;
mod log;
#[path = "../printer.rs"]
#[expect(dead_code, reason = "a walk over a tree tells no numbers here")]
mod printer;
mod run;
mod setup;
mod share;
mod situation;
mod status;
mod stop;
mod teardown;

pub use failure::Failure;

use crate::model::AccountName;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// A separate Unix account for an AI coding agent, made complete.
#[derive(Parser, Debug)]
#[command(
    name = "agentuser",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Global {
    /// Which agent; not needed where there is only one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) agent: Option<AccountName>,
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Colours on the terminal
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Set up the agents of a policy: plan, show, ask, apply, verify
    Setup(setup::Arguments),
    /// An interactive shell as the agent, in this project
    Shell(run::Place),
    /// Run one command as the agent; its exit code, signals, input and terminal are its own
    Run(run::Arguments),
    /// What is in force, what drifted, what is foreign; exit 0 when all is in force, else 1
    Status(status::Arguments),
    /// Share a project directory with the agent
    Share(share::Arguments),
    /// Take a project directory back
    Unshare(share::UnshareArguments),
    /// What the agent's rules refused
    #[command(subcommand)]
    Net(log::Command),
    /// End every process of the agent, at once
    Stop,
    /// Undo everything, from the receipt
    Teardown(teardown::Arguments),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// For sudo to call
    #[command(hide = true, subcommand)]
    Helper(firewall::Helper),
    /// For launchd to call
    #[command(hide = true, subcommand)]
    Firewall(firewall::Command),
    /// For agentuser itself to call
    #[command(hide = true)]
    Worker,
}

/// Reads the command line and does what it says.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if let Err(error) = invoker::clean_environment(&arguments) {
        printer::failure(&Failure::new(error));
        return ExitCode::from(125);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    printer::set_color(cli.global.color);
    let launches = matches!(cli.command, Command::Run(_) | Command::Shell(_));
    dispatch(cli).unwrap_or_else(|failure| {
        printer::failure(&failure);
        ExitCode::from(if launches { 125 } else { failure.code })
    })
}

/// The agent's half of a launch, which sudo starts.
pub fn enter(arguments: Vec<OsString>) -> ExitCode {
    enter::enter(arguments)
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Setup(arguments) => setup::setup(&global, &arguments),
        Command::Shell(place) => run::shell(&global, &place),
        Command::Run(arguments) => run::run(&global, arguments),
        Command::Status(arguments) => status::status(&global, &arguments),
        Command::Share(arguments) => share::share(&global, &arguments),
        Command::Unshare(arguments) => share::unshare(&global, &arguments),
        Command::Net(command) => log::net(&global, &command),
        Command::Stop => stop::stop(&global),
        Command::Teardown(arguments) => teardown::teardown(&global, &arguments),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "agentuser", &mut text);
            printer::document(&text)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            printer::document(&text)
        }
        Command::Helper(command) => firewall::helper(&command),
        Command::Firewall(firewall::Command::Ensure) => firewall::ensure(),
        Command::Worker => {
            crate::host::macos::worker::main().map_err(Failure::new)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// An existing directory, as a path without links.
fn existing_directory(path: &Path) -> Result<crate::model::AbsPath, Failure> {
    let real: PathBuf = std::fs::canonicalize(path).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display())).hint("name a directory that is there")
    })?;
    let text = real.into_os_string().into_string();
    let text =
        text.map_err(|path| Failure::new(anyhow::anyhow!("`{}` is not valid text", path.display())))?;
    text.parse().map_err(Failure::new)
}
