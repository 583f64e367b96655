//! A drop-in for the system's message bus, dbus-daemon(1): the agent's account may not call resolvers there.

use crate::model::AccountName;

/// Names on the bus of services that ask other hosts for whoever calls.
const RESOLVERS: [&str; 2] = ["org.freedesktop.resolve1", "org.freedesktop.Avahi"];

/// The text of the drop-in.
pub fn render(agent: &AccountName) -> String {
    let denied = RESOLVERS.map(|name| format!("    <deny send_destination=\"{name}\"/>\n")).concat();
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <!-- Made by agentuser; `agentuser teardown` removes it. -->\n\
         <busconfig>\n  <policy user=\"{agent}\">\n{denied}  </policy>\n</busconfig>\n"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn rendered() {
        insta::assert_snapshot!(super::render(&"bot".parse().unwrap()));
    }
}
