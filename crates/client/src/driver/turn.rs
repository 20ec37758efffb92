//! [`Turn`]: what everything that runs within one turn of the driver needs.

use std::{sync::Weak, task::Context, time::Instant};

use crate::hub::Guard;

/// One turn of the driver.
pub(super) struct Turn<'a, 'cx> {
    /// For the handlers and futures that are polled.
    pub(super) cx: &'a mut Context<'cx>,
    /// The time of the turn.
    pub(super) now: Instant,
    /// Without it no handle exists any more, and no handler is called.
    pub(super) guard: &'a Weak<Guard>,
}
