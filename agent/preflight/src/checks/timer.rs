//! Timers that wake a sleeping machine: CRIU's parser refuses their clock ("Unknown clock type").

use godwit_proc::field::{fields, number};

use super::report::{Place, Report};

pub(super) const CHECK: &str = "AlarmTimerUnsupported";
const CURE: &str = "a node does not sleep: use CLOCK_REALTIME or CLOCK_BOOTTIME without _ALARM";
/// `CLOCK_REALTIME_ALARM` and `CLOCK_BOOTTIME_ALARM` (`time.h`).
const ALARMS: [u64; 2] = [8, 9];

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in place.anonymous(&["[timerfd]"]) {
        let clock = descriptor
            .info(&place.process.proc)
            .iter()
            .find_map(|line| clock(line));
        if let Some(clock) = clock.filter(|clock| ALARMS.contains(clock)) {
            let object = format!("descriptor {} with clock {clock}", descriptor.number);
            report.refuse(CHECK, place, object, "has a timerfd of an alarm clock", CURE);
        }
    }
}

fn clock(line: &[u8]) -> Option<u64> {
    let mut fields = fields(line);
    (fields.next()? == b"clockid:")
        .then(|| number(fields.next()?, 10))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_found() {
        assert_eq!(clock(b"clockid: 9"), Some(9));
        assert_eq!(clock(b"ticks: 9"), None);
        assert_eq!(clock(b"clockid:"), None);
    }
}
