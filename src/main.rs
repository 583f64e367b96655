//! The program: `enter` and all other commands part ways here, for `enter` is on the path of every launch and must start
//! at once.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|command| command == "enter") {
        return agentuser::cli::enter(arguments.split_off(2));
    }
    agentuser::cli::main(arguments)
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(125)
}
