//! One thing at a time for each address.
//!
//! What ends an address's old part takes some milliseconds, in which a pod may arrive that brings the address back: the end must not take away
//! what has just begun.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Whose turn it is, by address.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<Ipv4Addr, Weak<Turn<()>>>>);

impl Turns {
    /// Waits until nobody else does anything with the address; others wait until what is given is dropped.
    pub(super) async fn of(&self, address: Ipv4Addr) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(&address).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(address, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// The same for several addresses; in their order, so that two who want the same ones never wait for each other.
    pub(super) async fn of_all(
        &self,
        addresses: impl IntoIterator<Item = Ipv4Addr>,
    ) -> Vec<OwnedMutexGuard<()>> {
        let mut addresses: Vec<Ipv4Addr> = addresses.into_iter().collect();
        addresses.sort_unstable();
        addresses.dedup();
        let mut turns = Vec::with_capacity(addresses.len());
        for address in addresses {
            turns.push(self.of(address).await);
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    #[tokio::test]
    async fn an_address_is_one_thing_at_a_time_and_others_are_free() {
        let turns = Turns::default();
        let first = turns.of(address(1)).await;
        assert!(timeout(SHORT, turns.of(address(1))).await.is_err());
        let other = timeout(SHORT, turns.of(address(2))).await.unwrap();
        drop(first);
        let second = timeout(SHORT, turns.of(address(1))).await.unwrap();
        drop((second, other));
        turns.of(address(3)).await;
        assert_eq!(
            turns.0.lock().unwrap().len(),
            1,
            "addresses that nobody waits for are kept"
        );
    }

    #[tokio::test]
    async fn whoever_wants_several_waits_for_all() {
        let turns = Turns::default();
        let one = turns.of(address(2)).await;
        let both = [address(2), address(1), address(2)];
        assert!(timeout(SHORT, turns.of_all(both)).await.is_err());
        drop(one);
        assert_eq!(timeout(SHORT, turns.of_all(both)).await.unwrap().len(), 2);
    }
}
