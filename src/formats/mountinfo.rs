//! The mounts that a process sees (`proc_pid_mountinfo(5)`).

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is, in bytes: names need not be text.
    pub at: Vec<u8>,
    /// The type of its filesystem.
    pub kind: String,
}

/// Reads the list. A line that is none is left out.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let at = unescape(words.nth(4)?);
    let kind = words.skip_while(|word| *word != b"-").nth(1)?;
    Some(Mount { at, kind: std::str::from_utf8(kind).ok()?.into() })
}

/// Blanks, tabs, line ends and backslashes are there as `\` and three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_optional_fields_and_odd_names() {
        let text = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            36 22 0:30 / /mnt/a\\040b\\134 rw shared:1 master:2 - fuse.sshfs x:/ rw\n\
            37 22 0:31 / /proc rw - proc proc rw\nno mount\n\n";
        let mount = |at: &str, kind: &str| Mount { at: at.into(), kind: kind.into() };
        assert_eq!(
            parse(text),
            [mount("/", "ext4"), mount("/mnt/a b\\", "fuse.sshfs"), mount("/proc", "proc")]
        );
        assert_eq!(unescape(b"\\9\\04"), b"\\9\\04");
    }
}
