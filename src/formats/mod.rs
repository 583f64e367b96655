//! Foreign texts and bytes: one file per format, render and parse side by side. Pure.

pub mod posix_acl;
