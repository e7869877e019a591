//! Every step that touches the file system goes through here, one by one, so that tests can let each of them fail, end
//! the process there, or change the world just before it.

use rustix::io::Errno;

use super::act::Refusal;
use crate::error::errno_name;
use crate::faults::{Faults, Operation};

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    Status,
    Attributes,
    Access,
    Probe,
    Lease,
    Read,
    Sync,
    Link,
    CheckLink,
    Exchange,
    CheckOld,
    CheckLeases,
    Unlink,
    CheckUndo,
    ExchangeBack,
    UnlinkLink,
    Blocks,
    Share,
}

impl Step {
    /// As it reads after "cannot".
    fn verb(self) -> &'static str {
        match self {
            Step::Open => "open",
            Step::Status | Step::CheckLink | Step::CheckOld | Step::CheckUndo => "look at",
            Step::Attributes => "read the extended attributes of",
            Step::Access => "ask for access to",
            Step::Lease | Step::CheckLeases => "take a lease on",
            Step::Read => "read",
            Step::Sync => "have on the disk",
            Step::Link => "make another link to",
            Step::Exchange | Step::ExchangeBack => "exchange the names of",
            Step::Unlink | Step::UnlinkLink => "remove the other name of",
            Step::Blocks => "list the blocks of",
            Step::Share | Step::Probe => "share the blocks of",
        }
    }

    /// Says that it could not be done to `whom`.
    pub(super) fn failed(self, whom: &str, errno: Errno) -> Refusal {
        format!("cannot {} {whom}: {}", self.verb(), errno_name(errno.raw_os_error())).into()
    }
}

/// The steps of one action.
pub(super) struct Steps<'s> {
    faults: &'s Faults,
    #[cfg(test)]
    before: Option<&'s dyn Fn(Step)>,
}

impl<'s> Steps<'s> {
    pub(super) fn new(faults: &'s Faults) -> Steps<'s> {
        Steps {
            faults,
            #[cfg(test)]
            before: None,
        }
    }

    /// Calls `before` before every step.
    #[cfg(test)]
    pub(super) fn watched(faults: &'s Faults, before: &'s dyn Fn(Step)) -> Steps<'s> {
        Steps { faults, before: Some(before) }
    }

    /// Takes a step. One that is struck has failed without being taken.
    pub(super) fn take<T>(
        &self,
        #[cfg_attr(not(test), expect(unused_variables, reason = "for tests to know where they are"))]
        step: Step,
        call: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        #[cfg(test)]
        if let Some(before) = self.before {
            before(step);
        }
        self.faults
            .strike(Operation::Act)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        call()
    }
}
