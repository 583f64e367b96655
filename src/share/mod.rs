//! Sharing: ACLs of project trees, written by the account that owns the files.
