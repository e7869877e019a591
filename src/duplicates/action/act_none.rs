//! Stands in for `act.rs` where the system has neither leases nor an exchange of names: nothing is done.

use super::Place;
use crate::faults::Faults;
use crate::record::{Acted, Action};

/// Refuses.
pub(crate) fn act(_: Action, _: &Place<'_>, _: &Place<'_>, _: &Faults) -> Acted {
    Acted::Refused("this system has no safe way to do it".into())
}
