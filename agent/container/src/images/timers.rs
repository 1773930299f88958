//! Timers that would stand still.
//!
//! The kernel starts a periodic timerfd anew when its expiry is read, and says until then that nothing is left (`timerfd_get_remaining` in fs/timerfd.c). CRIU
//! takes that for the time to set (`dump_one_timerfd` in criu/timerfd.c), and a timer that is set to no time is off: the program reads the
//! expiry that there was, and waits for ever for the next one. A timer that comes while its process is frozen always ends like that.

use std::borrow::Cow;

use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use super::entries::{Field, with_inner, without};

/// `tfd` of a `file_entry` (images/fdinfo.proto).
const TIMER: u32 = 12;
/// `vsec` and `vnsec` of a `timerfd_entry` (images/timerfd.proto): what is left.
const LEFT: [u32; 2] = [7, 8];
/// Its `isec` and `insec`: the interval.
const INTERVAL: [u32; 2] = [9, 10];

/// The entry, with a nanosecond left if it is a periodic timer without any, which comes at once then; `None` if it cannot be read.
pub(super) fn wound(entry: &[u8]) -> Option<Cow<'_, [u8]>> {
    with_inner(entry, TIMER, |timer| {
        if sum(timer, LEFT)? > 0 || sum(timer, INTERVAL)? == 0 {
            return Some(None);
        }
        let mut kept = without(timer, &LEFT[1..]);
        encode_key(LEFT[1], WireType::Varint, &mut kept);
        encode_varint(1, &mut kept);
        Some(Some(kept))
    })
}

/// Both numbers together, of which only whether they are nothing matters; `None` if one is no number.
fn sum(message: &[Field<'_>], numbers: [u32; 2]) -> Option<u64> {
    let mut sum = 0_u64;
    for field in message.iter().filter(|field| numbers.contains(&field.number)) {
        let mut rest = field.whole;
        let (_, WireType::Varint) = decode_key(&mut rest).ok()? else {
            return None;
        };
        sum = sum.saturating_add(decode_varint(&mut rest).ok()?);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::super::entries::fields;
    use super::*;

    /// As CRIU 4.2.1 wrote it of a timer of 20 ms: id 10, flags 2, an owner, clock 1, a tick, no flags, the rest as given.
    fn entry(seconds: u8, nanoseconds: u8, interval: &[u8]) -> Vec<u8> {
        let mut timer = vec![
            0x08, 0x0a, 0x10, 0x02, 0x1a, 2, 0x08, 0, 0x20, 1, 0x28, 1, 0x30, 0,
        ];
        timer.extend([0x38, seconds, 0x40, nanoseconds, 0x48, 0, 0x50]);
        timer.extend(interval);
        let mut out = vec![0x08, 0x11, 0x10, 0x0a, 0x62, u8::try_from(timer.len()).unwrap()];
        out.extend(timer);
        out
    }

    const PERIODIC: [u8; 4] = [0x80, 0xda, 0xc4, 0x09];

    #[test]
    fn a_periodic_timer_of_which_nothing_is_left_gets_a_moment() {
        let made = entry(0, 0, &PERIODIC);
        let got = wound(&made).unwrap();
        let outer = fields(&got).unwrap();
        assert_eq!(
            outer.iter().map(|field| field.number).collect::<Vec<_>>(),
            [1, 2, 12]
        );
        let inner = fields(outer[2].content).unwrap();
        assert_eq!(inner.last().unwrap().whole, [0x40, 1]);
        assert_eq!(inner.iter().filter(|field| field.number == 8).count(), 1);
        assert_eq!(sum(&inner, INTERVAL), Some(20_000_000));
        // A second time finds nothing more to do.
        assert!(matches!(wound(&got), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn other_timers_and_other_files_stay_as_they_are() {
        for made in [
            entry(0, 5, &PERIODIC),
            entry(3, 0, &PERIODIC),
            entry(0, 0, &[0]),
            vec![0x08, 7, 0x10, 9],
        ] {
            assert!(matches!(wound(&made), Some(Cow::Borrowed(_))), "{made:?}");
        }
        assert!(wound(&[0x62, 9, 1]).is_none());
    }
}
