//! The calls that Linux alone has.

use std::{ffi::CStr, io};

/// The result of a system call that answers -1 on failure.
fn checked(answer: libc::c_long) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// Gives this process a new, empty session keyring, so that the one which sudo handed on is out of reach
/// (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring; the kernel reads no memory of ours.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) }).map(drop)
}

/// The number of this process's session keyring (keyctl(2), `KEYCTL_GET_KEYRING_ID`); none is made.
pub fn session_keyring() -> io::Result<i32> {
    const KEYCTL_GET_KEYRING_ID: libc::c_long = 0;
    const KEY_SPEC_SESSION_KEYRING: libc::c_long = -3;
    let make: libc::c_long = 0;
    // SAFETY: two numbers and a flag; the kernel reads no memory of ours.
    let answer =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, make) };
    checked(answer).map(|number| i32::try_from(number).unwrap_or_default())
}

/// What the kernel answers to `io_uring_setup(2)` without its structure: `EFAULT` where it is let through.
pub fn io_uring_answer() -> io::Error {
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: the kernel checks the pointer, and reads nothing through a null one.
    checked(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, none) })
        .err()
        .unwrap_or_else(io::Error::last_os_error)
}

/// What the kernel answers to `TIOCSTI` (`ioctl_tty(2)`) on a file that is no terminal: `ENOTTY` where it is let through.
pub fn terminal_input_answer(file: &std::fs::File) -> io::Error {
    use std::os::fd::AsRawFd;
    let byte: libc::c_char = 0;
    // SAFETY: the request reads one byte, which lives through the call.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCSTI, &raw const byte) };
    checked(answer.into()).err().unwrap_or_else(io::Error::last_os_error)
}

/// Marks every descriptor from `first` on close-on-exec (`close_range(2)`); on old kernels answers `ENOSYS`.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only flags of our own descriptors change; none is closed under somebody who uses it.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// The same number on every machine that Rust's C library knows it for, but not in each of its versions.
const SYS_MOUNT_SETATTR: libc::c_long = 442;

/// Starts a child in a user namespace of its own, which does nothing but wait for the end of the pipe, and answers its
/// process id (clone(2), `CLONE_NEWUSER`). `wait_on` is the pipe's reading end and `ours` its writing end.
pub fn child_in_user_namespace(
    wait_on: std::os::fd::BorrowedFd<'_>,
    ours: std::os::fd::BorrowedFd<'_>,
) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let (wait_on, ours) = (wait_on.as_raw_fd(), ours.as_raw_fd());
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and a stack it is fork(2): the child has a copy of all memory, and goes on below, where it
    // makes only calls that are safe after a fork of a process with threads (signal-safety(7)).
    let pid = checked(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    if pid == 0 {
        let mut byte = 0_u8;
        // SAFETY: a descriptor of the child's own copy, which nobody uses in the child.
        unsafe { libc::close(ours) };
        // SAFETY: `byte` is one writable byte.
        unsafe { libc::read(wait_on, (&raw mut byte).cast(), 1) };
        // SAFETY: it ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    u32::try_from(pid).map_err(io::Error::other)
}

/// No set-id bits and no device files count on a mount (`MOUNT_ATTR_NOSUID`, `MOUNT_ATTR_NODEV`).
pub const INERT: u64 = 0x2 | 0x4;
/// Nothing can be written through a mount (`MOUNT_ATTR_RDONLY`).
pub const READ_ONLY: u64 = 0x1;

/// Ids are mapped on a mount (`MOUNT_ATTR_IDMAP`).
const ID_MAPPED: u64 = 0x0010_0000;

/// Adds attributes to a mount, given by its root, or to those below it as well, and takes it out of every propagation
/// (`mount_setattr(2)`, `AT_RECURSIVE`, `MS_PRIVATE`). With a user namespace its ids are mapped, which a filesystem may
/// not carry (`EINVAL`). Linux 5.12; older kernels answer `ENOSYS`.
pub fn set_mount_attributes(
    root: std::os::fd::BorrowedFd<'_>,
    attributes: u64,
    recursive: bool,
    user_namespace: Option<std::os::fd::BorrowedFd<'_>>,
) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let mapped = if user_namespace.is_some() { ID_MAPPED } else { 0 };
    let userns_fd = user_namespace.map_or(Ok(0), |fd| u64::try_from(fd.as_raw_fd()));
    let attr = MountAttr {
        attr_set: attributes | mapped,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: userns_fd.map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated, `attr` lives through the call and has the size that is passed; the kernel only
    // reads both.
    checked(unsafe {
        libc::syscall(
            SYS_MOUNT_SETATTR,
            root.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// `struct xattr_args` of setxattrat(2) and getxattrat(2).
#[repr(C, align(8))]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_GETXATTRAT: libc::c_long = 464;
const SYS_REMOVEXATTRAT: libc::c_long = 466;

/// Sets an extended attribute of `name` in the directory `dir`, or of `dir` itself where `name` is empty; a symbolic
/// link is never followed. Linux 6.13; older kernels answer `ENOSYS`.
pub fn setxattrat(
    dir: std::os::fd::BorrowedFd<'_>,
    name: &CStr,
    attribute: &CStr,
    value: &[u8],
) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let size = u32::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let args = XattrArgs { value: value.as_ptr() as u64, size, flags: 0 };
    let flags = libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: both names are NUL-terminated, `args` lives through the call and has the size that is passed, and it
    // points at `value`, whose length it carries; the kernel only reads.
    checked(unsafe {
        libc::syscall(
            SYS_SETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            flags,
            attribute.as_ptr(),
            &raw const args,
            size_of::<XattrArgs>(),
        )
    })
    .map(drop)
}

/// Reads an extended attribute of `name` in the directory `dir` into `buffer`, and answers its length; an empty `name`
/// stands for `dir` itself, and a symbolic link is never followed. Linux 6.13; older kernels answer `ENOSYS`.
pub fn getxattrat(
    dir: std::os::fd::BorrowedFd<'_>,
    name: &CStr,
    attribute: &CStr,
    buffer: &mut [u8],
) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let size = u32::try_from(buffer.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let args = XattrArgs { value: buffer.as_mut_ptr() as u64, size, flags: 0 };
    let flags = libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: as in `setxattrat`; the kernel writes at most `size` bytes into `buffer`, which we hold mutably.
    checked(unsafe {
        libc::syscall(
            SYS_GETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            flags,
            attribute.as_ptr(),
            &raw const args,
            size_of::<XattrArgs>(),
        )
    })
}

/// Removes an extended attribute of `name` in the directory `dir`, or of `dir` itself where `name` is empty; a symbolic
/// link is never followed. Linux 6.13; older kernels answer `ENOSYS`.
pub fn removexattrat(dir: std::os::fd::BorrowedFd<'_>, name: &CStr, attribute: &CStr) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let flags = libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: both names are NUL-terminated and outlive the call; the kernel only reads them.
    checked(unsafe {
        libc::syscall(SYS_REMOVEXATTRAT, dir.as_raw_fd(), name.as_ptr(), flags, attribute.as_ptr())
    })
    .map(drop)
}

/// The version of the kernel's Landlock interface (`landlock_create_ruleset(2)`, `LANDLOCK_CREATE_RULESET_VERSION`); 0
/// where it has none, or was started without it.
pub fn landlock_version() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_long = 1;
    let no_rules: *const libc::c_void = std::ptr::null();
    // SAFETY: a null pointer with size 0 and this flag asks for the version alone; the kernel reads no memory of ours.
    let answer = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, no_rules, 0_usize, LANDLOCK_CREATE_RULESET_VERSION)
    };
    u32::try_from(answer).unwrap_or(0)
}

/// Has a command start in a session of its own (setsid(2)), without a controlling terminal, and as nobody's child: the one
/// that is spawned ends at once, and the command is a child of it.
pub fn in_new_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let new_session = || {
        rustix::process::setsid()?;
        // SAFETY: the process has one thread, for it was forked a moment ago, and both go on with async-signal-safe calls alone.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => Ok(()),
            // SAFETY: it ends the process, and runs nothing of ours on the way.
            _ => unsafe { libc::_exit(0) },
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls may be made; setsid(2), fork(2) and _exit(2) are, and nothing
    // is allocated.
    unsafe { command.pre_exec(new_session) };
}
