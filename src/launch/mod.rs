//! Launching a command as the agent, in two halves: `run` on the human's side starts sudo, and `enter`, which sudo starts
//! as the agent, proves that the policy is in force, cleans up what came along, and becomes the command. With the private
//! view sudo starts `view::session` as root instead, which makes the view, becomes the agent for good, and goes on as
//! `enter` does.

crate::on_linux! {
    pub mod brief;
    pub mod canary;
    pub mod confine;
    pub mod enter;
    pub mod keeper;
    mod limits;
    pub mod repositories;
    pub mod view;
}
pub mod environment;
pub mod relay;
pub mod request;
pub mod secrets;
mod sudo;

pub use sudo::{helper, quoted, sudo};
