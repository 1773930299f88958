//! What a node's processor offers programs, and whether another one offers the same. Pure; `godwit-preflight` asks the processor.
//!
//! Programs ask once, at their start or at the first call (`cpuid`, `AT_HWCAP`; resolvers of the C library, compilers at run time), and use what they have
//! found for as long as they live. CRIU compares nothing unless it is told to, and on 64-bit ARM nothing at all (`criu/arch/aarch64/cpu.c`).

mod compare;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::compare::{lacking, summary};
pub use self::text::CpuTextError;

/// A processor, as its programs see it. In JSON it is its [line of text](std::fmt::Display).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cpu {
    /// `x86_64`, `aarch64`: as Rust calls it.
    pub architecture: String,
    /// Instructions and the like, by the names of `/proc/cpuinfo`, or `hwcap2.7` for a bit of 64-bit ARM.
    pub features: BTreeSet<String>,
    /// Numbers that must be equal, because saved registers are laid out by them: sizes and places of the parts of x86's `XSAVE` area, bytes of a
    /// vector of ARM's SVE and SME.
    pub layout: BTreeMap<String, u32>,
}

impl Cpu {
    /// A name for nodes that are alike, for a node label: two nodes of one class are [compatible](lacking) both ways. At most 40 characters of
    /// `[a-z0-9.-]`. Nodes of different classes may be compatible, too.
    pub fn class(&self) -> String {
        let digest = blake3::hash(self.to_string().as_bytes()).to_hex();
        format!("{}.{}", self.level(), &digest[..12])
    }

    /// For people: the level of the x86-64 ABI that is reached, or the vectors that 64-bit ARM has.
    fn level(&self) -> String {
        let has = |names: &[&str]| names.iter().all(|name| self.features.contains(*name));
        if self.architecture != "x86_64" {
            let sve = self
                .layout
                .get("sve")
                .map_or_else(String::new, |bytes| format!("-sve{}", u64::from(*bytes) * 8));
            return format!("{}{sve}", self.architecture);
        }
        // "Micro-architecture levels" of the System V ABI for x86-64.
        let levels: [&[&str]; 3] = [
            &["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"],
            &[
                "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "osxsave",
            ],
            &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
        ];
        let reached = levels.iter().take_while(|names| has(names)).count();
        format!("x86-64-v{}", reached + 1)
    }
}

#[cfg(test)]
mod tests;
