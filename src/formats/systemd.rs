//! The unit that loads the saved rules at boot.

/// The unit, as an administrator may read it in the project's `iptables/` directory.
const UNIT: &str = include_str!("../../iptables/agentuser.service");

/// The unit's name.
pub const NAME: &str = "agentuser.service";

/// Where the unit goes.
pub const PATH: &str = "/etc/systemd/system/agentuser.service";

/// The unit's text.
pub fn render(program: &str) -> String {
    UNIT.replace("@PROGRAM@", program)
}
