//! Threads that hand a number to each other, and one with a count of its own.

use std::cell::Cell;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::board::{Board, same};

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn keep(board: &Board) {
    // Two threads in turns on one lock: a wake-up that is lost stops both.
    let turn = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let other = Arc::clone(&turn);
    std::thread::spawn(move || {
        let (number, changed) = &*other;
        let mut number = number.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while *number % 2 == 0 {
                number = changed.wait(number).unwrap_or_else(PoisonError::into_inner);
            }
            *number += 1;
            changed.notify_all();
        }
    });
    board.keep("threads in turns", move |round| {
        let (number, changed) = &*turn;
        let mut number = number.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        changed.notify_all();
        while *number % 2 == 1 {
            let (back, late) = changed
                .wait_timeout(number, Duration::from_secs(20))
                .unwrap_or_else(PoisonError::into_inner);
            if late.timed_out() {
                return Err("the other thread does not answer".into());
            }
            number = back;
        }
        same("the number", *number, round * 2)
    });
    let (send, receive) = mpsc::channel::<(u64, mpsc::Sender<u64>)>();
    std::thread::spawn(move || {
        for (add, answer) in receive {
            OWN.set(OWN.get() + add);
            let _ = answer.send(OWN.get());
        }
    });
    board.keep("a thread's own memory", move |round| {
        let (answer, answered) = mpsc::channel();
        send.send((3, answer))?;
        same(
            "its count",
            answered.recv_timeout(Duration::from_secs(20))?,
            round * 3,
        )
    });
}
