//! Which node has to do what for an address when its pod moves: a pure decision.

use crate::Error;

/// What one node has to do for one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// The pod is here.
    Own {
        /// Replies go back through the home node, because the pod is not there.
        return_by_home: bool,
    },
    /// The pod is elsewhere: packets for it go to that node.
    Forward {
        /// Name of the node where the pod is.
        to: String,
        /// Neighbours on the pod bridge believe that the address is here: answer ARP for it. Only at home.
        answer_arp: bool,
        /// Only for what is still on its way; ends as soon as the source pod is gone. Never at home.
        until_source_gone: bool,
    },
}

/// The duties of all nodes that have one, in the order in which they must take effect: first the new place, then those
/// who send packets there.
pub type Duties = Vec<(String, Duty)>;

/// Decides what `home`, `from` and `to` have to do for an address when its pod moves from node `from` to node `to`; the
/// names may be equal, except the last two. A node's duty replaces the one it had. A node that is not listed keeps its
/// duty, which by construction is none. Fails with [`Error::Plan`] if source and destination are one node.
pub fn duties(home: &str, from: &str, to: &str) -> Result<Duties, Error> {
    if from == to {
        return Err(Error::Plan("an address cannot be carried from a node to itself"));
    }
    let mut list = vec![(
        to.to_owned(),
        Duty::Own {
            return_by_home: to != home,
        },
    )];
    let forward = |node: &str| {
        let at_home = node == home;
        let duty = Duty::Forward {
            to: to.to_owned(),
            answer_arp: at_home,
            until_source_gone: !at_home,
        };
        (node.to_owned(), duty)
    };
    // The home before the source: what the source lets go must find its way even if it is sent back to the home.
    if home != to && home != from {
        list.push(forward(home));
    }
    list.push(forward(from));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(node: &str, return_by_home: bool) -> (String, Duty) {
        (node.into(), Duty::Own { return_by_home })
    }

    fn forward(node: &str, to: &str, at_home: bool) -> (String, Duty) {
        (
            node.into(),
            Duty::Forward {
                to: to.into(),
                answer_arp: at_home,
                until_source_gone: !at_home,
            },
        )
    }

    #[test]
    fn every_constellation() {
        let table = [
            (
                "leaves home",
                ["n1", "n1", "n2"],
                vec![own("n2", true), forward("n1", "n2", true)],
            ),
            (
                "moves on: home is repointed",
                ["n1", "n2", "n3"],
                vec![
                    own("n3", true),
                    forward("n1", "n3", true),
                    forward("n2", "n3", false),
                ],
            ),
            (
                "comes home",
                ["n1", "n2", "n1"],
                vec![own("n1", false), forward("n2", "n1", false)],
            ),
        ];
        for (name, [home, from, to], expected) in table {
            assert_eq!(duties(home, from, to).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn no_move_is_no_plan() {
        assert_eq!(duties("n1", "n2", "n2").unwrap_err().reason(), "InvalidCarryPlan");
    }

    #[test]
    fn nobody_ever_forwards_to_itself_and_exactly_one_owns() {
        let nodes = ["n1", "n2", "n3"];
        for case in 0..27 {
            let (home, from, to) = (nodes[case / 9], nodes[case / 3 % 3], nodes[case % 3]);
            let Ok(list) = duties(home, from, to) else {
                continue;
            };
            assert_eq!(
                list.iter()
                    .filter(|(_, duty)| matches!(duty, Duty::Own { .. }))
                    .count(),
                1
            );
            for (node, duty) in &list {
                assert_eq!(
                    list.iter().filter(|(other, _)| other == node).count(),
                    1,
                    "one duty for each node"
                );
                if let Duty::Forward {
                    to: next, answer_arp, ..
                } = duty
                {
                    assert_ne!(next, node);
                    assert_eq!(*answer_arp, node == home);
                }
            }
        }
    }
}
