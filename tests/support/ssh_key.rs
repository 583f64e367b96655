//! A key pair with nothing secret in it, for machines in memory.

/// What a private key says that it is.
const KIND: &str = "OPENSSH PRIVATE KEY";
const BODY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQyNTUxOQAAACAHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwAAAAgBAQEBAQEBAQ==";

/// What ssh-keygen(1) writes into the private half's file.
pub(crate) fn private_half() -> String {
    format!("-----BEGIN {KIND}-----\n{BODY}\n-----END {KIND}-----\n")
}
