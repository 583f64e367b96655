//! The machine: the only door to it.

pub mod dir;
pub mod sys;
