//! What this node's processor offers programs; [`godwit_crds::cpu`] says what that means for another node.

#[cfg(any(target_arch = "aarch64", test))]
mod hwcap;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod x86_features;

use std::collections::{BTreeMap, BTreeSet};

use godwit_crds::cpu::Cpu;

/// The processor of this node. Without features on an architecture that is not known here.
pub fn here() -> Cpu {
    let (features, layout) = asked();
    Cpu {
        architecture: std::env::consts::ARCH.to_owned(),
        features,
        layout,
    }
}

#[cfg(target_arch = "x86_64")]
fn asked() -> (BTreeSet<String>, BTreeMap<String, u32>) {
    x86::here()
}

#[cfg(target_arch = "aarch64")]
fn asked() -> (BTreeSet<String>, BTreeMap<String, u32>) {
    hwcap::here()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn asked() -> (BTreeSet<String>, BTreeMap<String, u32>) {
    Default::default()
}

#[cfg(test)]
mod tests {
    use godwit_crds::cpu::lacking;

    use super::*;

    #[test]
    fn this_processor_is_compatible_with_itself_and_survives_a_line_of_text() {
        let here = here();
        assert_eq!(here.to_string().parse(), Ok(here.clone()));
        assert_eq!(lacking(&here, &here), Vec::<String>::new());
        assert!(!here.features.is_empty(), "{here:?}");
        assert_eq!(here.class(), super::here().class());
    }
}
