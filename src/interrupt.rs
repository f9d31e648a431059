//! How is long work ended from outside, without losing what it has done?

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output;

/// Set by Ctrl-C or a request to end.
static STOP: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C from now on; what it sets is to be looked at after each
/// batch. The second one does not wait for the batch under way. That is safe,
/// too: what is not acknowledged is cut off at the next opening.
pub(crate) fn listen() -> &'static AtomicBool {
    let handler = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if handler.is_err() {
        output::note("note: Ctrl-C will end this at once, because no handler could be set");
    }
    &STOP
}
