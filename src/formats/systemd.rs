//! The units: one loads the saved rules at boot, one keeps them in force, and a socket starts what becomes another account
//! for these two, which may not.

/// The unit, as an administrator may read it in the project's `iptables/` directory.
const UNIT: &str = include_str!("../../iptables/agentuser.service");

/// The unit's name.
pub const NAME: &str = "agentuser.service";

/// Where the unit goes.
pub const PATH: &str = "/etc/systemd/system/agentuser.service";

/// The guard's unit, as an administrator may read it in the project's `iptables/` directory.
const GUARD_UNIT: &str = include_str!("../../iptables/agentuser-guard.service");

/// The name of the guard's unit.
pub const GUARD_NAME: &str = "agentuser-guard.service";

/// Where the guard's unit goes.
pub const GUARD_PATH: &str = "/etc/systemd/system/agentuser-guard.service";

/// The socket and the service of processes that become others, as an administrator may read them in the project's
/// `iptables/` directory.
const CHILD_SOCKET: &str = include_str!("../../iptables/agentuser-child.socket");
const CHILD_UNIT: &str = include_str!("../../iptables/agentuser-child@.service");

/// The name of the socket's unit.
pub const CHILD_NAME: &str = "agentuser-child.socket";

/// Where the socket's unit goes.
pub const CHILD_SOCKET_PATH: &str = "/etc/systemd/system/agentuser-child.socket";

/// Where the unit of what it starts goes.
pub const CHILD_PATH: &str = "/etc/systemd/system/agentuser-child@.service";

/// The text of the unit of a process that becomes another account.
pub fn render_child(program: &str) -> String {
    CHILD_UNIT.replace("@PROGRAM@", program)
}

/// The text of the unit of their socket.
pub fn render_child_socket() -> String {
    CHILD_SOCKET.to_owned()
}

/// The text of the guard's unit.
pub fn render_guard(program: &str) -> String {
    GUARD_UNIT.replace("@PROGRAM@", program)
}

/// The unit's text.
pub fn render(program: &str) -> String {
    UNIT.replace("@PROGRAM@", program)
}
