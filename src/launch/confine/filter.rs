//! Filters as text that a brief carries: compiled once, when the policy is put in force, and only loaded at a launch.

use super::calls;
use crate::policy::Line;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Write as _, io};

/// One filter, an instruction of 16 hexadecimal digits after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Filter(String);

/// The processor, if filters can be made for it.
pub(super) fn architecture() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH).ok()
}

/// The filters for these lines; none for a processor that has none.
pub(super) fn all(lines: &BTreeSet<Line>, mounts: bool) -> Vec<Filter> {
    let Some(architecture) = architecture() else { return vec![] };
    let errno = |errno: libc::c_int| SeccompAction::Errno(errno.unsigned_abs());
    let kinds = [
        (Ok(calls::whole(lines, mounts)), errno(libc::ENOSYS)),
        (calls::by_argument(lines, mounts), errno(libc::EPERM)),
        (calls::sockets(lines), errno(libc::EAFNOSUPPORT)),
    ];
    let mut filters: Vec<Result<BpfProgram, _>> = Vec::new();
    for (rules, answer) in kinds {
        match rules {
            Ok(rules) if rules.is_empty() => {}
            rules => filters.push(rules.and_then(|rules| {
                SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture)?.try_into()
            })),
        }
    }
    if let Some(Ok(first)) = filters.first_mut() {
        first.splice(0..0, refuse_x32());
    }
    // What can't be compiled can't be loaded, and stops the launch.
    filters
        .into_iter()
        .map(|program| program.map_or(Filter(UNMADE.into()), |program| Filter::of(&program)))
        .collect()
}

/// The text of a filter that could not be made.
const UNMADE: &str = "unmade";

/// The numbers of x32 are others, and no rule would match them: no call of theirs is let through. Programs of another
/// processor, such as 32-bit ones, are ended by the compiler's own check.
fn refuse_x32() -> Vec<sock_filter> {
    const LOAD: u16 = 0x20;
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32: u32 = 0x4000_0000;
    if !cfg!(target_arch = "x86_64") {
        return vec![];
    }
    let answer = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    vec![
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: X32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: answer },
    ]
}

impl Filter {
    fn of(program: &[sock_filter]) -> Self {
        let mut text = String::with_capacity(program.len() * 16);
        for one in program {
            let _ = write!(text, "{:04x}{:02x}{:02x}{:08x}", one.code, one.jt, one.jf, one.k);
        }
        Self(text)
    }

    pub(super) fn program(&self) -> io::Result<BpfProgram> {
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "not a filter");
        let one = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 16)?;
            let word = u64::from_str_radix(text, 16).ok()?;
            let [a, b, jt, jf, k @ ..] = word.to_be_bytes();
            Some(sock_filter { code: u16::from_be_bytes([a, b]), jt, jf, k: u32::from_be_bytes(k) })
        };
        self.0.as_bytes().chunks(16).map(one).collect::<Option<_>>().ok_or_else(odd)
    }

    /// Loads it, for this process and all that it becomes and starts.
    pub(super) fn load(&self) -> io::Result<()> {
        seccompiler::apply_filter(&self.program()?).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
            other => io::Error::other(other),
        })
    }
}

/// Whether an error says that the kernel has no filters: `EINVAL` from a kernel without them, `ENOSYS` from one without
/// the call.
pub(super) fn is_not_carried(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS))
}
