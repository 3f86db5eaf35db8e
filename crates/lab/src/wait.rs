//! Waiting for a condition with a deadline.

use crate::LabError;
use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `look` gives a value; `None` asks to look again.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    within(what, limit, || look().ok_or_else(String::new))
}

/// Waits until `look` succeeds. At the deadline the error carries what the last look said.
pub fn within<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, LabError> {
    let deadline = Instant::now() + limit;
    loop {
        let why = match look() {
            Ok(value) => return Ok(value),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            let detail = if why.is_empty() {
                why
            } else {
                format!("; last seen: {why}")
            };
            return Err(LabError::NotReached {
                what: what.to_owned(),
                seconds: limit.as_secs(),
                detail,
            });
        }
        thread::sleep(POLL);
    }
}
