//! Failures of commands: what failed and why, the next command to type, the exit status.

use crate::{
    engine::{SetupError, TeardownError},
    host::{HostError, LockError, trust::TrustError},
    plan::DesireError,
    policy::PolicyError,
};

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// What failed and why.
    pub error: anyhow::Error,
    /// The next command to type.
    pub hint: Option<String>,
    /// The exit status: 1, or 2 where the command line or the policy is wrong.
    pub code: u8,
}

impl Failure {
    /// A failure of the work.
    pub fn new(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, code: 1 }
    }

    /// A wrong command line or policy.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { error: anyhow::anyhow!(text.into()), hint: None, code: 2 }
    }

    /// The same failure with the next command to type.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        let hint = error.hint();
        Self { error: error.into(), hint: Some(hint), code: 2 }
    }
}

impl From<DesireError> for Failure {
    fn from(error: DesireError) -> Self {
        let hint = match &error {
            DesireError::NoAgent(_) => Some("agentuser status".to_owned()),
            DesireError::NoHuman { .. } => Some("agentuser setup --human NAME".into()),
            DesireError::AllowedElsewhere(path, _) => Some(format!("sudo editor {path}")),
            DesireError::Network { source, .. } => Some(source.hint()),
            DesireError::Project { path, .. } => Some(format!("ls -ld {path}")),
            _ => None,
        };
        Self { error: error.into(), hint, code: 2 }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::new(error)
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        let hint = error.hint();
        Self::new(error).hint(hint)
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let hint = match &error {
            SetupError::Foreign { .. } => "remove or rename it, or choose another name with --agent",
            SetupError::Unknown { .. } => "agentuser status",
            _ => "agentuser setup goes on from here, agentuser teardown takes back what was done",
        };
        Self::new(error).hint(hint)
    }
}

impl From<TeardownError> for Failure {
    fn from(error: TeardownError) -> Self {
        Self::new(error).hint("agentuser teardown, which tries again what is left")
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::new(error).hint("wait until it has ended, then type the command again")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}
