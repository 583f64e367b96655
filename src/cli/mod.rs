//! The command line: what each command takes. What each does is in the file of its name.
//!
//! It is the same on every system. What a command needs of one, and what there is on one alone, is in `system`: the
//! directory `linux` or `macos`.

mod ask;
mod deploy_key;
mod doctor;
mod failure;
mod helper;
mod invoker;
mod moved;
mod net;
mod printer;
mod reset;
mod review;
mod run;
mod secret;
mod setup;
mod share;
mod situation;
mod status;
mod stop;
crate::on_linux! {
    #[path = "linux/mod.rs"]
    mod system;
}
crate::on_macos! {
    #[path = "macos/mod.rs"]
    mod system;
}
mod teardown;

pub use failure::Failure;

use crate::model::AccountName;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

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
    /// Set up an agent: plan, show, ask, apply, verify
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
    /// What the agent reaches over the network, why, and changes of it
    #[command(subcommand)]
    Net(net::Command),
    /// Try each known way around the isolation, as the agent and for control as you; exit 1 when one is open
    Doctor(doctor::Arguments),
    /// What the agent left that your own tools will execute; with --strict, exit 3 when there is something
    Review(review::Arguments),
    #[command(flatten)]
    System(system::Command),
    /// For agentuser itself to call, as the agent and as the human
    #[command(hide = true)]
    Probe,
    /// For agentuser itself to call
    #[command(hide = true)]
    Look,
    /// For agentuser itself to call, as the agent
    #[command(hide = true)]
    Connect(net::ConnectArguments),
    /// The agent's tokens and keys: kept in files of its own, never shown
    #[command(subcommand)]
    Secret(secret::Command),
    /// End every process of the agent, at once
    Stop,
    /// Give the agent a fresh home; projects, policy, tokens and keys stay
    Reset(reset::Arguments),
    /// Undo everything, from the receipt
    Teardown(teardown::Arguments),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Reads the command line and does what it says.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if let Some(code) = system::at_once(&arguments) {
        return code;
    }
    // A launch in its plain form does not wait for the whole command line to be built.
    if let Some((global, run)) = run::plain(&arguments) {
        return ended(run::run(&global, run), 125);
    }
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
    let result = dispatch(cli);
    let code = result.as_ref().err().map_or(1, |failure| failure.code);
    ended(result, if launches { 125 } else { code })
}

/// How the process ends; a failure is said, and ends it with `code`.
fn ended(result: Result<ExitCode, Failure>, code: u8) -> ExitCode {
    result.unwrap_or_else(|failure| {
        printer::failure(&failure);
        ExitCode::from(code)
    })
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
        Command::Net(command) => net::net(&global, &command),
        Command::Doctor(arguments) => doctor::doctor(&global, &arguments),
        Command::Review(arguments) => review::review(&global, &arguments),
        Command::Probe => doctor::probe(),
        Command::Look => {
            crate::review::look::main().map_err(Failure::new)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::System(command) => system::dispatch(command),
        Command::Connect(arguments) => net::connect(&arguments),
        Command::Secret(command) => secret::secret(&global, &command),
        Command::Stop => stop::stop(&global),
        Command::Reset(arguments) => reset::reset(&global, &arguments),
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
    }
}

/// An existing directory, as a path without links.
fn existing_directory(path: &PathBuf) -> Result<crate::model::AbsPath, Failure> {
    let real = std::fs::canonicalize(path).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display())).hint("name a directory that is there")
    })?;
    let text = real.into_os_string().into_string();
    let text =
        text.map_err(|path| Failure::new(anyhow::anyhow!("`{}` is not valid text", path.display())))?;
    text.parse().map_err(Failure::new)
}
