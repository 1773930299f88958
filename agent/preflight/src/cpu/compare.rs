//! Two processors against each other. Pure.

use super::Cpu;
use crate::finding::Finding;

const CHECK: &str = "CpuIncompatible";
/// Named in a message; the others are counted.
const NAMED: usize = 12;

/// What `destination` lacks of what programs on `source` may use: features that it has not, layouts that are not equal. Empty: they can move.
pub fn lacking(source: &Cpu, destination: &Cpu) -> Vec<String> {
    if source.architecture != destination.architecture {
        return vec![format!(
            "{} (it has {})",
            source.architecture, destination.architecture
        )];
    }
    let features = source.features.difference(&destination.features).cloned();
    let layout = source
        .layout
        .iter()
        .filter_map(|(name, wanted)| match destination.layout.get(name) {
            Some(other) if other == wanted => None,
            Some(other) => Some(format!("{name} of {wanted} (it has {other})")),
            None => Some(format!("{name} of {wanted}")),
        });
    features.chain(layout).collect()
}

/// The finding, if there is something; `node` is the destination's name.
pub fn finding(source: &Cpu, destination: &Cpu, node: &str) -> Option<Finding> {
    let lacking = lacking(source, destination);
    if lacking.is_empty() {
        return None;
    }
    let more = lacking.len().saturating_sub(NAMED);
    let and = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let named = lacking[..lacking.len().min(NAMED)].join(", ");
    Some(Finding {
        check: CHECK,
        refuse: true,
        container: String::new(),
        pid: None,
        process: String::new(),
        object: named.clone(),
        message: format!(
            "the processor of {node} lacks {named}{and}, which programs of the pod may use; choose a node of class {}",
            source.class()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_documented() {
        assert_eq!(godwit_crds::checks::cpu::CPU_INCOMPATIBLE.name, CHECK);
    }

    fn cpu(features: &[&str], layout: &[(&str, u32)]) -> Cpu {
        Cpu {
            architecture: "x86_64".into(),
            features: features.iter().map(|it| (*it).to_owned()).collect(),
            layout: layout
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
        }
    }

    #[test]
    fn a_richer_destination_will_do_and_a_poorer_one_will_not() {
        let poor = cpu(&["sse2"], &[("xsave.size", 576)]);
        let rich = cpu(&["sse2", "avx"], &[("xsave.size", 576), ("xsave.9.at", 2688)]);
        assert_eq!(finding(&poor, &rich, "n2"), None);
        let found = finding(&rich, &poor, "n2").unwrap();
        assert!(
            found.message.contains("n2 lacks avx, xsave.9.at of 2688,"),
            "{}",
            found.message
        );
        assert!(found.message.contains(&rich.class()), "{}", found.message);
    }

    #[test]
    fn another_layout_or_architecture_will_not_do() {
        let (intel, amd) = (
            cpu(&[], &[("xsave.9.at", 2688)]),
            cpu(&[], &[("xsave.9.at", 2432)]),
        );
        assert_eq!(lacking(&intel, &amd), ["xsave.9.at of 2688 (it has 2432)"]);
        let arm = Cpu {
            architecture: "aarch64".into(),
            ..Cpu::default()
        };
        assert_eq!(lacking(&intel, &arm).len(), 1);
    }

    #[test]
    fn many_are_counted() {
        let names: Vec<String> = (0..20).map(|number| format!("f{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = finding(&cpu(&names, &[]), &cpu(&[], &[]), "n2").unwrap();
        assert!(found.message.contains("f11 and 8 more,"), "{}", found.message);
    }
}
