//! x86-64: asked of the processor itself, as programs do (`cpuid`), and not of `/proc/cpuinfo`, which has what the kernel uses.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv, CpuidResult};
use std::collections::{BTreeMap, BTreeSet};

use super::x86_features::{FEATURES, Register};

/// Leaf that describes the `XSAVE` area.
const XSAVE: u32 = 0xd;
/// Components of user space that it may have: those of supervisors are not programs'.
const COMPONENTS: u32 = 32;

/// Of this node.
pub(super) fn here() -> (BTreeSet<String>, BTreeMap<String, u32>) {
    let highest = [ask(0, 0).eax, ask(0x8000_0000, 0).eax];
    let known = |leaf: u32| leaf <= highest[usize::from(leaf >= 0x8000_0000)];
    let mut features = BTreeSet::new();
    for (leaf, subleaf, register, bits) in FEATURES {
        if !known(*leaf) {
            continue;
        }
        let word = register.of(&ask(*leaf, *subleaf));
        let set = bits.iter().filter(|(bit, _)| word & (1 << bit) != 0);
        features.extend(set.map(|(_, name)| (*name).to_owned()));
    }
    let enabled = if features.contains("osxsave") && known(XSAVE) {
        xcr0()
    } else {
        0
    };
    let layout = layout(enabled, |component| ask(XSAVE, component));
    (features, layout)
}

impl Register {
    fn of(self, answer: &CpuidResult) -> u32 {
        match self {
            Self::Eax => answer.eax,
            Self::Ebx => answer.ebx,
            Self::Ecx => answer.ecx,
            Self::Edx => answer.edx,
        }
    }
}

fn ask(leaf: u32, subleaf: u32) -> CpuidResult {
    if subleaf == 0 && leaf != XSAVE && leaf != 7 {
        return __cpuid(leaf);
    }
    __cpuid_count(leaf, subleaf)
}

/// What the kernel has enabled for programs.
fn xcr0() -> u64 {
    #[target_feature(enable = "xsave")]
    fn read() -> u64 {
        // SAFETY: the caller knows that the kernel uses XSAVE.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: only called where `osxsave` is set, which includes `xsave`.
    unsafe { read() }
}

/// Size of the area, and size and place of each component beyond x87 and SSE, whose places are fixed. Intel and AMD have put some of them elsewhere, and
/// a saved area is put back byte by byte.
fn layout(enabled: u64, ask: impl Fn(u32) -> CpuidResult) -> BTreeMap<String, u32> {
    let mut layout = BTreeMap::new();
    if enabled == 0 {
        return layout;
    }
    layout.insert("xsave.size".to_owned(), ask(0).ebx);
    for component in (2..COMPONENTS).filter(|component| enabled & (1 << component) != 0) {
        let answer = ask(component);
        layout.insert(format!("xsave.{component}.size"), answer.eax);
        layout.insert(format!("xsave.{component}.at"), answer.ebx);
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_found_no_feature_that_is_not_here() {
        let (features, layout) = here();
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("flags")).unwrap();
        let flags: BTreeSet<&str> = line.split_whitespace().collect();
        let ours = FEATURES
            .iter()
            .flat_map(|(.., bits)| bits.iter().map(|(_, name)| *name));
        for name in ours.filter(|name| flags.contains(name)) {
            assert!(features.contains(name), "{name}");
        }
        for name in ["fpu", "sse2", "fxsr", "cx8"] {
            assert!(features.contains(name) && flags.contains(name), "{name}");
        }
        assert_eq!(features.contains("avx"), layout.contains_key("xsave.2.size"));
    }

    #[test]
    fn components_that_are_not_enabled_are_left_out() {
        let ask = |component: u32| CpuidResult {
            eax: component * 10,
            ebx: component * 100 + 576,
            ecx: 0,
            edx: 0,
        };
        let names: Vec<(String, u32)> = layout(0b10_0000_0111, ask).into_iter().collect();
        let wanted = [
            ("xsave.2.at", 776),
            ("xsave.2.size", 20),
            ("xsave.9.at", 1476),
            ("xsave.9.size", 90),
            ("xsave.size", 576),
        ];
        assert_eq!(names, wanted.map(|(name, value)| (name.to_owned(), value)));
        assert!(layout(0, ask).is_empty());
    }
}
