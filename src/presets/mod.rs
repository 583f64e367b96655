//! Presets: services by name, and what an entry of a policy's `allow` comes to.
//!
//! ```text
//! listed     names and ports of a service, with the page of its vendor that names each: data files in `listed/`
//! ranges     address ranges that GitHub and AWS publish: a dated snapshot in `ranges/`, or a newer one that was fetched
//! expand     policy + Catalog -> what is open, each with the entry that opens it
//! place      destinations as people and tools write them
//! verdict    which rule decides about one destination
//! ```
//!
//! Pure. The hosts of discovered presets (`npm`, `pypi`, ...) stand in the configuration of this machine's tools, not here:
//! see [`crate::discover`].

#![forbid(unsafe_code)]

pub mod expand;
pub mod listed;
pub mod place;
pub mod ranges;
pub mod verdict;

pub use expand::{ExpandError, Expansion};
