//! 64-bit ARM: the bits that the kernel gives every program (`arch/arm64/elf_hwcaps.rst`), and the length of vectors.

use std::collections::{BTreeMap, BTreeSet};
#[cfg(target_arch = "aarch64")]
use std::path::Path;

/// Words of the auxiliary vector (`getauxval(3)`): `AT_HWCAP`, `AT_HWCAP2`, `AT_HWCAP3`, `AT_HWCAP4`.
const WORDS: [(u64, &str); 4] = [(16, "hwcap"), (26, "hwcap2"), (29, "hwcap3"), (30, "hwcap4")];
/// Bits of `AT_HWCAP` that say nothing about instructions: `HWCAP_EVTSTRM` is a choice of the kernel's timer, `HWCAP_CPUID` of how to ask.
const NOT_FEATURES: [&str; 2] = ["hwcap.2", "hwcap.11"];

/// Of this node.
#[cfg(target_arch = "aarch64")]
pub(super) fn here() -> (BTreeSet<String>, BTreeMap<String, u32>) {
    let auxv = crate::bounded::read_start(Path::new("/proc/self/auxv"), 64 << 10).unwrap_or_default();
    // A program may choose shorter vectors, and then needs the destination to have them; longer ones than the default it has to ask for.
    let lengths = [
        ("sve", "sve_default_vector_length"),
        ("sme", "sme_default_vector_length"),
    ];
    let lengths = lengths.map(|(name, file)| {
        let text = std::fs::read_to_string(Path::new("/proc/sys/abi").join(file)).unwrap_or_default();
        (name, text)
    });
    (features(&auxv), layout(&lengths))
}

/// The set bits of an auxiliary vector of this machine's byte order.
fn features(auxv: &[u8]) -> BTreeSet<String> {
    let mut features = BTreeSet::new();
    let (words, _) = auxv.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    for [kind, value] in pairs {
        let (kind, value) = (u64::from_ne_bytes(*kind), u64::from_ne_bytes(*value));
        if let Some((_, name)) = WORDS.iter().find(|(number, _)| *number == kind) {
            let set = (0..64).filter(|bit| value & (1 << bit) != 0);
            features.extend(set.map(|bit| format!("{name}.{bit}")));
        }
    }
    features.retain(|name| !NOT_FEATURES.contains(&name.as_str()));
    features
}

/// Lengths of vectors in bytes; a file that is not there is empty.
fn layout(lengths: &[(&str, String)]) -> BTreeMap<String, u32> {
    let known = lengths
        .iter()
        .filter_map(|(name, text)| Some(((*name).to_owned(), text.trim().parse().ok()?)));
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_the_auxiliary_vector_are_named() {
        let words = [16_u64, 0b1000_0000_0111, 26, 1 << 63, 6, 4096, 29, 1, 0, 0];
        let auxv: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let names: Vec<String> = features(&auxv).into_iter().collect();
        assert_eq!(names, ["hwcap.0", "hwcap.1", "hwcap2.63", "hwcap3.0"]);
        assert!(features(&auxv[..15]).is_empty());
    }

    #[test]
    fn a_length_that_is_not_told_is_left_out() {
        let lengths = [("sve", "64\n".to_owned()), ("sme", String::new())];
        assert_eq!(layout(&lengths), BTreeMap::from([("sve".to_owned(), 64)]));
    }
}
