//! Two processors against each other. Pure.

use super::Cpu;

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

/// The same in words, for a message: the first twelve, and how many more there are. Empty for nothing.
pub fn summary(lacking: &[String]) -> String {
    let named = lacking[..lacking.len().min(NAMED)].join(", ");
    match lacking.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(lacking(&poor, &rich), Vec::<String>::new());
        assert_eq!(lacking(&rich, &poor), ["avx", "xsave.9.at of 2688"]);
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
        let told = summary(&names);
        assert!(
            told.ends_with("f11 and 8 more") && told.starts_with("f00, "),
            "{told}"
        );
        assert_eq!(summary(&names[..2]), "f00, f01");
        assert_eq!(summary(&[]), "");
    }
}
