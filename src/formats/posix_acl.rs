//! POSIX ACLs as the kernel keeps them in extended attributes.
