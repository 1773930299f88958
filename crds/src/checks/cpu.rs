//! Processors: what programs have found out about the source's when they began must hold at the destination.

use super::{CheckInfo, RunsBy};

/// `CpuIncompatible`.
pub const CPU_INCOMPATIBLE: CheckInfo = CheckInfo {
    name: "CpuIncompatible",
    runs_by: RunsBy::Operator,
    acceptable: true,
    refuses: "a destination whose processor lacks instructions that the source's has, or keeps the state of vector units otherwise (`CpuIncompatible`)",
    why: "programs, their libraries and compilers at run time have chosen their instructions when they began, and would die at the first that is missing; the C library has set room aside for vector registers by the size that it has found, which a processor with a larger state would write beyond (`cpu_validate_features`, `criu/arch/x86/cpu.c`)",
    cure: "choose a node of the same class, which the node label `godwit.dev/cpu-class` names; or accept it for programs that use none of the features that the message lists",
};

/// All of them.
pub const ALL: &[CheckInfo] = &[CPU_INCOMPATIBLE];
