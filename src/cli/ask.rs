//! Questions. Without a terminal there are none: the failure names the flag that answers.

use super::Failure;
use dialoguer::{Confirm, Input, MultiSelect, Password, Select, theme::ColorfulTheme};
use std::io::IsTerminal;

/// Whether somebody is there to answer.
pub(crate) fn possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn answered<T>(answer: dialoguer::Result<T>) -> Result<T, Failure> {
    answer.map_err(|dialoguer::Error::IO(error)| Failure::new(error))
}

/// A text, with a suggestion.
pub(crate) fn text(question: &str, suggestion: &str) -> Result<String, Failure> {
    let theme = ColorfulTheme::default();
    answered(Input::with_theme(&theme).with_prompt(question).default(suggestion.to_owned()).interact_text())
}

/// A text that is not shown while it is typed.
pub(crate) fn unseen(question: &str) -> Result<String, Failure> {
    answered(Password::with_theme(&ColorfulTheme::default()).with_prompt(question).interact())
}

/// A text that may be empty.
pub(crate) fn optional(question: &str) -> Result<String, Failure> {
    let theme = ColorfulTheme::default();
    answered(Input::with_theme(&theme).with_prompt(question).allow_empty(true).interact_text())
}

/// One of several answers, the first one suggested.
pub(crate) fn one_of(question: &str, answers: &[&str]) -> Result<usize, Failure> {
    let theme = ColorfulTheme::default();
    answered(Select::with_theme(&theme).with_prompt(question).items(answers).default(0).interact())
}

/// Any of several answers, none of them suggested.
pub(crate) fn some_of(question: &str, answers: &[String]) -> Result<Vec<usize>, Failure> {
    let theme = ColorfulTheme::default();
    answered(MultiSelect::with_theme(&theme).with_prompt(question).items(answers).max_length(16).interact())
}

/// Yes or no, with yes suggested; where nobody can answer, the failure names `flag`.
pub(crate) fn confirm(question: &str, flag: &str) -> Result<bool, Failure> {
    yes_or_no(question, flag, true)
}

/// Yes or no, with no suggested: what is asked came from somebody else.
pub(crate) fn consent(question: &str, flag: &str) -> Result<bool, Failure> {
    yes_or_no(question, flag, false)
}

fn yes_or_no(question: &str, flag: &str, suggestion: bool) -> Result<bool, Failure> {
    if !possible() {
        return Err(Failure::usage(format!("`{question}` needs a terminal to be answered"))
            .hint(format!("add {flag}")));
    }
    let theme = ColorfulTheme::default();
    answered(Confirm::with_theme(&theme).with_prompt(question).default(suggestion).interact())
}
