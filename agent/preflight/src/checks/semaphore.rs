//! Event counters that give one at a time (`EFD_SEMAPHORE`): CRIU makes them anew without the flag (`eventfd_open` in `criu/eventfd.c`), so that a read takes
//! the whole counter. Linux says since 6.5 which they are.

use godwit_proc::field::fields;

use super::report::{Place, Report};

pub(super) const CHECK: &str = "EventSemaphoreUnsupported";
const CURE: &str = "CRIU forgets that it is one, and a read would take the whole counter: use an ordinary eventfd or a semaphore in memory";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in place.anonymous(&["[eventfd]"]) {
        if descriptor
            .info(&place.process.proc)
            .iter()
            .any(|line| is_semaphore(line))
        {
            let object = format!("descriptor {}", descriptor.number);
            report.refuse(CHECK, place, object, "has an eventfd that is a semaphore", CURE);
        }
    }
}

fn is_semaphore(line: &[u8]) -> bool {
    fields(line).eq([&b"eventfd-semaphore:"[..], b"1"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semaphores_are_told_from_counters() {
        assert!(is_semaphore(b"eventfd-semaphore: 1"));
        assert!(!is_semaphore(b"eventfd-semaphore: 0"));
        assert!(!is_semaphore(b"eventfd-count:              1"));
    }
}
