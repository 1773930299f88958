//! On which node the stand-in is, and where it goes from there.

use godwit_crds::{Leg, TargetSpec};

/// Where a leg leads, of a migration with that target.
///
/// The stand-in is on the destination already, so the leg home stays on its node. Only a migration that a user has asked for with
/// a stand-in to begin with (`begins_away` is false) goes home to where that user wants it.
pub fn route(
    leg: Leg,
    wanted: Option<&TargetSpec>,
    begins_away: bool,
    stand_in: Option<&str>,
) -> Option<TargetSpec> {
    let stays = leg == Leg::Home && (begins_away || wanted.is_none());
    match stand_in.filter(|_| stays) {
        Some(node) => Some(TargetSpec {
            node_name: Some(node.to_owned()),
            node_selector: None,
        }),
        None => wanted.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "it is what the spec holds")]
    fn node(name: &str) -> Option<TargetSpec> {
        Some(TargetSpec {
            node_name: Some(name.to_owned()),
            node_selector: None,
        })
    }

    #[test]
    fn the_way_home_ends_where_the_way_away_did() {
        assert_eq!(route(Leg::Away, node("n2").as_ref(), true, None), node("n2"));
        assert_eq!(route(Leg::Away, None, true, None), None);
        for wanted in [node("n2"), None] {
            assert_eq!(route(Leg::Home, wanted.as_ref(), true, Some("n2")), node("n2"));
        }
        assert_eq!(route(Leg::Home, None, false, Some("n2")), node("n2"));
        assert_eq!(
            route(Leg::Home, node("n3").as_ref(), false, Some("n2")),
            node("n3")
        );
    }
}
