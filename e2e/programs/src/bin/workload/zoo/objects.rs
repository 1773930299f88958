//! What the kernel keeps for a process behind a descriptor: event counters, timers, watches, memory files.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::Failure;
use crate::board::{Board, same};

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn keep(board: &Board) -> Result<(), Failure> {
    let counter = EventFd::from_flags(EfdFlags::EFD_NONBLOCK)?;
    counter.write(41)?;
    let watch = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    watch.add(counter.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0xfeed))?;
    board.keep("eventfd and epoll", move |_| {
        let mut events = [EpollEvent::empty(); 4];
        same("events", watch.wait(&mut events, EpollTimeout::ZERO)?, 1)?;
        same("the event's data", events[0].data(), 0xfeed)?;
        same("the counter", counter.read()?, 41)?;
        same(
            "events of an empty counter",
            watch.wait(&mut events, EpollTimeout::ZERO)?,
            0,
        )?;
        counter.write(41)?;
        Ok(())
    });
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
    let every = TimeSpec::from_duration(Duration::from_millis(50));
    timer.set(Expiration::Interval(every), TimerSetTimeFlags::empty())?;
    let mut since = Instant::now();
    board.keep("timerfd", move |_| {
        let mut ticks = [0; 8];
        match nix::unistd::read(timer.as_fd(), &mut ticks) {
            Ok(_) => since = Instant::now(),
            Err(nix::errno::Errno::EAGAIN) if since.elapsed() < PATIENCE => {}
            Err(error) => return Err(format!("no tick: {error}").into()),
        }
        let set = timer.get()?.ok_or("the timer is off")?;
        let interval = match set {
            Expiration::Interval(interval) | Expiration::IntervalDelayed(_, interval) => interval,
            Expiration::OneShot(_) => return Err("the timer has no interval".into()),
        };
        same("its interval", interval, every)
    });
    let mut memory = File::from(memfd_create(c"zoo", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(&[7; 10_000])?;
    board.keep("a memory file", move |round| {
        let mut found = vec![0; 10_000];
        memory.read_exact_at(&mut found, 0)?;
        let wanted = if round == 1 {
            7
        } else {
            u8::try_from((round - 1) % 200)?
        };
        same("its bytes", found.iter().all(|&byte| byte == wanted), true)?;
        memory.write_all_at(&vec![u8::try_from(round % 200)?; 10_000], 0)?;
        same(
            "its name",
            std::fs::read_link(format!("/proc/self/fd/{}", memory.as_raw_fd()))?
                .to_string_lossy()
                .contains("zoo"),
            true,
        )
    });
    Ok(())
}
