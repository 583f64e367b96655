//! What a teardown ends on Linux beside the agent's own: the human's keeper, and the guard.

use crate::{cli::invoker, host::users, launch::keeper::end_keepers, model::AccountName};

/// The human's keeper would go on for some seconds, and ask for the agent's. That one ends with the agent's processes; other
/// agents of the human's get another by their next session.
pub(in crate::cli) fn before_teardown(name: &AccountName) {
    // A policy that can't be read keeps nothing from being torn down.
    let policy = invoker::policy().ok().flatten();
    let human = policy.and_then(|(_, policy)| Some(policy.agents.get(name)?.human.to_string()));
    let account = human.and_then(|human| users::person(&human).ok().flatten());
    end_keepers(account.map(|account| account.uid).as_slice());
}

/// With the last agent the guard has nothing to keep.
pub(in crate::cli) fn after_the_last() {
    crate::guard::end();
}
