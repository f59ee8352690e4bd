//! The time of day as text.

use rustix::time::{ClockId, clock_gettime};

/// Now, in UTC, as RFC 3339 with nanoseconds.
pub fn now() -> String {
    let now = clock_gettime(ClockId::Realtime);
    oci::time::rfc3339_nano(now.tv_sec, now.tv_nsec as u32)
}
