//! The one mechanism: a plan is compared with the system, applied with a receipt, and taken back from it.

mod ensure;
mod receipt;
mod report;
mod reset;
mod setup;
mod teardown;

pub use ensure::ensure;
pub use receipt::{Entry, Receipt, Scope, State};
pub use report::{StepReport, report};
pub use reset::reset;
pub use setup::{SetupError, renew, setup};
pub use teardown::{TeardownError, teardown};

use crate::step::{AnyStep, Description};

/// Steps of one scope, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose they are.
    pub scope: Scope,
    /// The steps.
    pub steps: Vec<AnyStep>,
}

/// Something to tell a person while the work goes on.
pub trait Progress {
    /// A step begins.
    fn begin(&mut self, step: &Description);
    /// A step ended well.
    fn done(&mut self, step: &Description);
    /// Something worth knowing, on a line of its own.
    fn note(&mut self, text: &str);
}

/// Progress for nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &Description) {}
    fn done(&mut self, _: &Description) {}
    fn note(&mut self, _: &str) {}
}
