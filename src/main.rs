//! The program.

/// musl's own allocator asks the kernel for each larger block, which shows in a walk over a large tree.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> std::process::ExitCode {
    agentuser::cli::main(std::env::args_os().collect())
}
