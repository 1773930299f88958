//! `spec.accept`: a refusal that is of a risk, or of a known loss, becomes a warning.

use godwit_crds::Verdict;
use godwit_crds::checks;

/// Turns the refusal of a check that `accept` names into a warning; of one that it could name, and does not, says so. The list of
/// checks decides what can be accepted, whatever `accept` names: an object can be older than the rules of its definition. Gives whether
/// something was accepted.
pub(super) fn apply(accept: &[String], name: &str, verdict: &mut Verdict, message: &mut String) -> bool {
    let acceptable = checks::find(name).is_some_and(|check| check.acceptable);
    if *verdict != Verdict::Refuse || !acceptable {
        return false;
    }
    let accepted = accept.iter().any(|it| it == name);
    if accepted {
        *verdict = Verdict::Warn;
        message.insert_str(0, "accepted by spec.accept: ");
    } else {
        message.push_str("; or accept it, by ");
        message.push_str(name);
        message.push_str(" in spec.accept");
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(accept: &[&str], name: &str, verdict: Verdict) -> (Verdict, String) {
        let accept: Vec<String> = accept.iter().map(|name| (*name).to_owned()).collect();
        let (mut verdict, mut message) = (verdict, "found".to_owned());
        let accepted = apply(&accept, name, &mut verdict, &mut message);
        assert_eq!(accepted, message.starts_with("accepted"), "{message}");
        (verdict, message)
    }

    #[test]
    fn a_risk_that_is_accepted_is_a_warning() {
        let (verdict, message) = applied(
            &["LivenessProbe", "PostStartHook"],
            "PostStartHook",
            Verdict::Refuse,
        );
        assert_eq!(verdict, Verdict::Warn);
        assert_eq!(message, "accepted by spec.accept: found");
    }

    #[test]
    fn a_risk_that_is_not_accepted_names_the_field_and_an_impossibility_does_not() {
        let (verdict, message) = applied(&["LivenessProbe"], "PostStartHook", Verdict::Refuse);
        assert_eq!(verdict, Verdict::Refuse);
        assert!(message.contains("PostStartHook in spec.accept"), "{message}");
        // Even if an old object names it.
        for name in ["Volumes", "Nonsense"] {
            assert_eq!(
                applied(&[name], name, Verdict::Refuse),
                (Verdict::Refuse, "found".to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_refusal_stays_what_it_is() {
        for verdict in [Verdict::Pass, Verdict::Warn] {
            assert_eq!(
                applied(&["PostStartHook"], "PostStartHook", verdict),
                (verdict, "found".to_owned())
            );
        }
    }
}
