//! Which groups an agent may be in.

use super::error::{Refusal, quote};

/// Groups that lead to root, to the human's session, or to what other accounts keep to themselves.
const REFUSED: [(&str, &str); 30] = [
    ("root", "is root's own"),
    ("sudo", "may become root"),
    ("wheel", "may become root"),
    ("admin", "may become root"),
    ("google-sudoers", "may become root"),
    ("docker", "gives root through containers"),
    ("lxd", "gives root through containers"),
    ("incus", "gives root through containers"),
    ("incus-admin", "gives root through containers"),
    ("microk8s", "gives root through containers"),
    ("libvirt", "gives root through virtual machines"),
    ("libvirt-qemu", "gives root through virtual machines"),
    ("kvm", "opens the virtual machines of others"),
    ("vboxusers", "opens the virtual machines of others"),
    ("adm", "reads the system's logs"),
    ("systemd-journal", "reads the system's logs"),
    ("log", "reads the system's logs"),
    ("staff", "writes to /usr/local"),
    ("disk", "reads and writes raw disks"),
    ("operator", "reads raw disks"),
    ("kmem", "reads the kernel's memory"),
    ("mem", "reads the kernel's memory"),
    ("shadow", "reads password hashes"),
    ("ssl-cert", "reads private keys"),
    ("input", "reads the human's keyboard"),
    ("tty", "writes to the human's terminals"),
    ("wireshark", "reads the network's packets"),
    ("plugdev", "reads and writes removable disks"),
    ("daemon", "belongs to system services"),
    ("bin", "belongs to the system"),
];

/// Groups that are let in, with what they open.
const WARNED: [(&str, &str); 2] =
    [("video", "also opens webcams; the GPU needs `render` only"), ("audio", "also opens microphones")];

pub(super) fn judge(name: &str, human: Option<&str>) -> Result<(), Refusal> {
    let shown = quote(name);
    let form = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    if name.len() > 31 || !name.starts_with(first) || !name.bytes().all(form) {
        let hint = "write the group's name: lower case letters, digits, `_` and `-`, a letter first";
        return Err(Refusal::new(format!("{shown} is not a group's name"), hint));
    }
    if Some(name) == human {
        let hint = "leave it out: share a directory below `projects` instead";
        return Err(Refusal::new(format!("{shown} is the human's own group"), hint));
    }
    match REFUSED.iter().find(|(group, _)| *group == name) {
        None => Ok(()),
        Some((_, why)) => {
            Err(Refusal::new(format!("the group {shown} {why}"), "leave it out; `render` gives the GPU"))
        }
    }
}

/// What a group opens, if it is one of those that are let in with a warning.
pub(super) fn warning(name: &str) -> Option<&'static str> {
    WARNED.iter().find(|(group, _)| *group == name).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        for bad in ["docker", "sudo", "kvm", "alice", "Docker", "0", "a,b", "", "-a"] {
            assert!(judge(bad, Some("alice")).is_err(), "{bad}");
        }
        for good in ["render", "video", "dev-team"] {
            assert!(judge(good, Some("alice")).is_ok(), "{good}");
        }
        assert!(warning("video").is_some() && warning("render").is_none());
    }
}
