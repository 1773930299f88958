//! Where all checks of a program write what they found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Failure;

/// How long a check rests between two rounds: most of the time its things lie as they were left.
const REST: Duration = Duration::from_millis(20);

/// How many rounds each check has passed, or what it found broken.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<&'static str, Result<u64, String>>>>);

impl Board {
    /// Run `check` again and again on a thread of its own, until it fails.
    pub(crate) fn keep(
        &self,
        name: &'static str,
        mut check: impl FnMut(u64) -> Result<(), Failure> + Send + 'static,
    ) {
        self.write(name, Ok(0));
        let board = self.clone();
        std::thread::spawn(move || {
            for round in 1.. {
                match check(round) {
                    Ok(()) => board.write(name, Ok(round)),
                    Err(error) => return board.write(name, Err(format!("round {round}: {error}"))),
                }
                std::thread::sleep(REST);
            }
        });
    }

    fn write(&self, name: &'static str, found: Result<u64, String>) {
        if let Err(error) = &found {
            println!("BROKEN {name}: {error}");
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(name, found);
    }

    /// `ok NAME=ROUNDS …` with the rounds of every check, or `broken NAME: WHAT` for all that are.
    pub(crate) fn told(&self) -> String {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let broken: Vec<String> = entries
            .iter()
            .filter_map(|(name, found)| found.as_ref().err().map(|error| format!("{name}: {error}")))
            .collect();
        if broken.is_empty() {
            let rounds = entries
                .iter()
                .filter_map(|(name, found)| found.as_ref().ok().map(|rounds| format!("{name}={rounds}")));
            format!("ok {}", rounds.collect::<Vec<_>>().join(" "))
        } else {
            format!("broken {}", broken.join("; "))
        }
    }
}

/// An error that says what was found if it is not what should be there.
#[allow(clippy::needless_pass_by_value, reason = "values are what the callers have")]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), Failure> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {found:?} and should be {wanted:?}").into())
    }
}
