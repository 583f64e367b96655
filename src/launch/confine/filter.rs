//! The filter as text that a brief carries: compiled once, when the policy is put in force, and only loaded at a launch.

use super::calls;
use crate::policy::Line;
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Write as _, io};

/// A filter, an instruction of 16 hexadecimal digits after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Filter(String);

/// The processor, if filters can be made for it.
pub(super) fn architecture() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH).ok()
}

/// The filter for these lines; none where there is nothing to refuse, or the processor has no filters.
pub(super) fn of(lines: &BTreeSet<Line>, mounts: bool) -> Option<Filter> {
    let architecture = architecture()?;
    // What can't be compiled can't be loaded, and stops the launch.
    match compile(lines, mounts, architecture) {
        Ok(None) => None,
        Ok(Some(program)) => Some(Filter::of(&program)),
        Err(_) => Some(Filter(UNMADE.into())),
    }
}

/// The text of a filter that could not be made.
const UNMADE: &str = "unmade";

/// The compiler knows one error a program, so that there is one for each error, one after the other. In front of them lies
/// what lets most calls through at once.
fn compile(
    lines: &BTreeSet<Line>,
    mounts: bool,
    architecture: TargetArch,
) -> Result<Option<BpfProgram>, BackendError> {
    let kinds = [
        (calls::whole(lines, mounts), libc::ENOSYS),
        (calls::by_argument(lines, mounts)?, libc::EPERM),
        (calls::sockets(lines)?, libc::EAFNOSUPPORT),
    ];
    let numbers: BTreeSet<u32> = kinds
        .iter()
        .flat_map(|(rules, _)| rules.keys())
        .filter_map(|call| u32::try_from(*call).ok())
        .collect();
    let mut programs = Vec::new();
    for (rules, errno) in kinds.into_iter().filter(|(rules, _)| !rules.is_empty()) {
        let answer = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture)?;
        programs.push(BpfProgram::try_from(filter)?);
    }
    let Some(mut last) = programs.pop() else { return Ok(None) };
    let mut whole = quickly(&numbers, &last);
    for mut program in programs {
        // Its last instruction lets through what it has no rule for: the next one is asked instead.
        program.pop();
        whole.append(&mut program);
    }
    whole.append(&mut last);
    Ok(Some(whole))
}

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Lets through what has no rule, by a few comparisons: the kernel tries a filter with each call that there is when it is
/// loaded (`seccomp_cache_prepare`), and a list of twenty comparisons takes a tenth of a millisecond there.
///
/// Programs of another processor, such as 32-bit ones, are ended first, by the compiler's own check. The numbers of x32 are
/// others, and no rule would match them: no call of theirs is let through.
fn quickly(numbers: &BTreeSet<u32>, compiled: &[sock_filter]) -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const CHECK_OF_THE_PROCESSOR: usize = 3;
    let mut program: BpfProgram = compiled.iter().take(CHECK_OF_THE_PROCESSOR).cloned().collect();
    program.push(sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 });
    if cfg!(target_arch = "x86_64") {
        program.push(sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: X32 });
        let answer = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: answer.into() });
    }
    let mut search = search(&numbers.iter().copied().collect::<Vec<_>>());
    let length = search.len();
    for (at, one) in search.iter_mut().enumerate().filter(|(_, one)| one.code == EQUAL) {
        one.jt = u8::try_from(length - at - 1).unwrap_or(u8::MAX);
    }
    program.append(&mut search);
    program
}

/// Finds a number among sorted ones by halves. One that is there jumps behind all of this, which the caller fills in.
fn search(numbers: &[u32]) -> BpfProgram {
    let mut program = BpfProgram::new();
    if numbers.len() <= 2 {
        let found = numbers.iter().map(|number| sock_filter { code: EQUAL, jt: 0, jf: 0, k: *number });
        program.extend(found);
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: SeccompAction::Allow.into() });
        return program;
    }
    let (low, high) = numbers.split_at(numbers.len() / 2);
    let mut below = search(low);
    let over = u8::try_from(below.len()).unwrap_or(u8::MAX);
    program.push(sock_filter { code: AT_LEAST, jt: over, jf: 0, k: high[0] });
    program.append(&mut below);
    program.extend(search(high));
    program
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
        apply(&self.program()?)
    }
}

/// Loads a program.
pub(super) fn apply(program: &BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(program).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        other => io::Error::other(other),
    })
}

/// Whether an error says that the kernel has no filters: `EINVAL` from a kernel without them, `ENOSYS` from one without
/// the call.
pub(super) fn is_not_carried(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS))
}
