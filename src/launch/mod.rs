//! Launching a command as the agent, in two halves: `run` on the human's side starts sudo, and `enter`, which sudo starts
//! as the agent, proves that the policy is in force, cleans up what came along, and becomes the command. With the private
//! view sudo starts `view::session` as root instead, which makes the view, becomes the agent for good, and goes on as
//! `enter` does.

#[cfg(target_os = "linux")]
pub mod brief;
#[cfg(target_os = "linux")]
pub mod canary;
#[cfg(target_os = "linux")]
pub mod confine;
#[cfg(target_os = "linux")]
pub mod enter;
pub mod environment;
#[cfg(target_os = "linux")]
pub mod keeper;
#[cfg(target_os = "linux")]
mod limits;
pub mod relay;
#[cfg(target_os = "linux")]
mod repositories;
pub mod request;
pub mod secrets;
mod sudo;
#[cfg(target_os = "linux")]
pub mod view;

pub use sudo::{helper, quoted, sudo};
