//! The units: one loads the saved rules at boot, the other one keeps them in force.

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

/// The text of the guard's unit.
pub fn render_guard(program: &str) -> String {
    GUARD_UNIT.replace("@PROGRAM@", program)
}

/// The unit's text.
pub fn render(program: &str) -> String {
    UNIT.replace("@PROGRAM@", program)
}
