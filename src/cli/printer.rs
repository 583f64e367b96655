//! The one place that prints: data on standard output, talk on standard error, colours only on a terminal. Names in what is
//! said may be the agent's: nothing but our own colours reaches the terminal as a command.

use super::{Color, Failure};
use crate::{engine::Progress, model::harmless, step::Description};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::{fmt, io::Write};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// How a line stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is so.
    Good,
    /// It is not so.
    Bad,
    /// It would be done, or can't be told.
    Open,
}

impl Mark {
    fn parts(self) -> (Style, char) {
        match self {
            Self::Good => (GOOD, '✓'),
            Self::Bad => (BAD, '✗'),
            Self::Open => (NOTE, '•'),
        }
    }
}

/// Sets the choice of `--color` for all that follows.
pub(crate) fn set_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// A line of data.
pub(crate) fn data(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

/// A whole document; a reader who has seen enough is no failure.
pub(crate) fn document(text: &[u8]) -> Result<std::process::ExitCode, Failure> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(std::process::ExitCode::SUCCESS),
    }
}

/// A heading over lines of data.
pub(crate) fn heading(text: &str) {
    data(&format!("{BOLD}{}{BOLD:#}", harmless(text)));
}

/// A marked line of data.
pub(crate) fn marked(mark: Mark, text: &str) {
    let (style, sign) = mark.parts();
    data(&format!("  {style}{sign}{style:#} {}", harmless(text)));
}

/// A detail under a marked line.
pub(crate) fn detail(text: &str) {
    data(&format!("      {DIM}{}{DIM:#}", harmless(text)));
}

/// A line of talk.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A warning.
pub(crate) fn warn(text: &str) {
    say(&format!("{NOTE}note{NOTE:#}: {}", harmless(text)));
}

/// A failure, and the next command to type.
pub(crate) fn failure(failure: &Failure) {
    // A cause that its effect quotes already is not said twice.
    let mut text = failure.error.to_string();
    for cause in failure.error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    say(&format!("{BAD}agentuser{BAD:#}: {}", harmless(&text)));
    if let Some(hint) = &failure.hint {
        say(&format!("\nhint: {}", harmless(hint)));
    }
}

/// Steps as they are taken, one line each.
pub(crate) struct Steps {
    quiet: bool,
    bar: ProgressBar,
}

impl Steps {
    /// Steps for a person, or for nobody.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}{objects}") {
            bar.set_style(style.with_key("objects", |state: &ProgressState, to: &mut dyn fmt::Write| {
                // Most steps walk over nothing.
                if state.pos() > 0 {
                    let _ = write!(to, ": {} files and directories", state.pos());
                }
            }));
        }
        Self { quiet, bar }
    }

    /// What shows the number of objects while a tree is walked.
    pub(crate) fn counter(&self) -> impl Fn(u64) + use<> {
        let bar = self.bar.clone();
        move |objects| bar.set_position(objects)
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| say(text));
        }
    }
}

impl Progress for Steps {
    fn begin(&mut self, step: &Description) {
        self.bar.set_position(0);
        self.bar.set_message(step.title.clone());
    }

    fn done(&mut self, step: &Description) {
        let (style, sign) = Mark::Good.parts();
        self.line(&format!("  {style}{sign}{style:#} {}", step.title));
    }

    fn note(&mut self, text: &str) {
        self.line(&format!("    {NOTE}note{NOTE:#}: {}", harmless(text)));
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
