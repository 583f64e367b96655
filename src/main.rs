//! The program: `enter`, `helper session` and all other commands part ways here, for the first two are on the path of every
//! launch and must start at once.

/// musl's own allocator asks the kernel for each larger block, which shows in a walk over a large tree.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|command| command == "enter") {
        return agentuser::cli::enter(arguments.split_off(2));
    }
    if arguments.get(1).is_some_and(|command| command == "helper")
        && arguments.get(2).is_some_and(|command| command == "session")
    {
        return agentuser::cli::session(arguments.split_off(3));
    }
    agentuser::cli::main(arguments)
}

/// On macOS `enter` parts ways here as well; there is no view for root to make.
#[cfg(target_os = "macos")]
fn main() -> std::process::ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|command| command == "enter") {
        return agentuser::cli::enter(arguments.split_off(2));
    }
    agentuser::cli::main(arguments)
}
