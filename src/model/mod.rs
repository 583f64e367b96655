//! The words that the whole program speaks: names, ids, paths and network ranges as types, so that a string is judged
//! once, at the border, and never again. Pure: no I/O, the same on every platform.

mod account;
pub mod catalog;
pub mod desired;
pub mod facts;
mod names;
mod net;
mod path;
pub mod view;

pub use account::{AccountName, Gid, IdRange, NameError, Uid};
pub use names::{EscapeError, Listed, PathBytes, harmless};
pub use net::{Family, PortError, PortRange, PortSet, Protocol};
pub use path::{AbsPath, PathError};
