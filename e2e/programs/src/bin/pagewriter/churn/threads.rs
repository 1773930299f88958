//! Threads that come and go, each with something on its stack.

use std::collections::VecDeque;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Ways;
use crate::Failure;
use crate::random::Random;

const AT_ONCE: usize = 3;
const LIFE: Duration = Duration::from_millis(100);
const WORDS: usize = 4096;

#[derive(Default)]
pub(super) struct Threads {
    alive: VecDeque<JoinHandle<bool>>,
    count: u64,
}

impl Ways for Threads {
    fn step(&mut self) -> Result<(), Failure> {
        self.count += 1;
        let seed = self.count;
        self.alive.push_back(std::thread::spawn(move || lives(seed)));
        if self.alive.len() > AT_ONCE
            && let Some(oldest) = self.alive.pop_front()
            && !oldest.join().map_err(|_| "a thread panicked")?
        {
            return Err("the stack of a thread has changed".into());
        }
        Ok(())
    }
}

/// Whether what was on the stack is there some time later.
fn lives(seed: u64) -> bool {
    let mut random = Random::new(seed);
    let words: [u64; WORDS] = std::array::from_fn(|_| random.next());
    let words = std::hint::black_box(words);
    std::thread::sleep(LIFE);
    let mut random = Random::new(seed);
    words.iter().all(|&word| word == random.next())
}
