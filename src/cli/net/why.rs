//! `net why`: which rule decides.

use super::View;
use crate::{
    cli::{
        Failure, Global,
        printer::{self, Mark},
    },
    presets::{
        place::Place,
        verdict::{Verdict, verdict},
    },
};
use clap::Args;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A host, an address or the address of a page; port 443 where none is named
    #[arg(value_name = "HOST[:PORT]|ADDRESS|URL")]
    destination: String,
    /// As JSON: see docs/net-json.md
    #[arg(long)]
    json: bool,
}

pub(crate) fn why(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (place, _) = read(&arguments.destination)?;
    let view = View::of(global)?;
    let verdict = judge(&view, &place);
    if arguments.json {
        let json = serde_json::json!({ "version": 1, "agent": view.name, "verdict": verdict });
        printer::data(&serde_json::to_string_pretty(&json).map_err(Failure::new)?);
        return Ok(ExitCode::SUCCESS);
    }
    show(&view, &verdict);
    Ok(ExitCode::SUCCESS)
}

/// Reads a destination from the command line.
pub(super) fn read(text: &str) -> Result<(Place, bool), Failure> {
    Place::read(text).map_err(|error| {
        Failure::usage(error.to_string()).hint("write a host such as api.example.com:443, or an address")
    })
}

pub(super) fn judge(view: &View, place: &Place) -> Verdict {
    verdict(&view.network, &view.open, &view.firewall, place)
}

pub(super) fn show(view: &View, verdict: &Verdict) {
    let (mark, word) = if verdict.open { (Mark::Good, "open") } else { (Mark::Bad, "refused") };
    printer::marked(mark, &format!("{} is {word} for {}", verdict.place, view.name));
    printer::detail(&format!("rule     {}", verdict.rule));
    printer::detail(&format!("because  {}", verdict.because));
    for note in &verdict.notes {
        printer::detail(&format!("note     {note}"));
    }
    if let Some(change) = &verdict.change {
        printer::detail(&format!("change   {change}"));
    }
}
