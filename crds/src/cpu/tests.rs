use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;

#[test]
fn a_class_is_a_label_value_and_stable() {
    let cpu: Cpu = "x86_64;avx,cx16,lahf_lm,pni,popcnt,sse4_1,sse4_2,ssse3;xsave.size=832"
        .parse()
        .unwrap();
    assert_eq!(cpu.class(), "x86-64-v2.3f9b37e9d627");
    let arm: Cpu = "aarch64;hwcap.0;sve=32".parse().unwrap();
    assert_eq!(arm.class(), "aarch64-sve256.4d10723c692c");
}

#[test]
fn other_text_is_refused() {
    let long = format!("x86_64;{};", "f,".repeat(10_000));
    for text in [
        "",
        "x86_64",
        "x86_64;avx",
        "x86_64;a b;",
        "x86_64;;size",
        "x86_64;;size=-1",
        "x86_64;;;",
        ";avx;",
        long.as_str(),
        &format!("x86_64;{};", "f".repeat(65)),
    ] {
        assert_eq!(text.parse::<Cpu>(), Err(CpuTextError), "{text}");
    }
    assert_eq!(CpuTextError.reason(), "CpuTextInvalid");
}

#[test]
fn in_json_it_is_its_line() {
    let cpu: Cpu = "x86_64;avx,sse2;xsave.size=832".parse().unwrap();
    let json = serde_json::to_value(&cpu).unwrap();
    assert_eq!(json, "x86_64;avx,sse2;xsave.size=832");
    assert_eq!(serde_json::from_value::<Cpu>(json).unwrap(), cpu);
    assert!(serde_json::from_str::<Cpu>("\"nonsense\"").is_err());
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._-]{0,20}"
}

proptest! {
    #[test]
    fn every_processor_survives_its_line_and_has_a_class_that_is_a_label_value(
        architecture in "x86_64|aarch64|riscv64",
        features in btree_set(name(), 0..60),
        layout in btree_map(name(), any::<u32>(), 0..20),
    ) {
        let cpu = Cpu { architecture, features, layout };
        prop_assert_eq!(cpu.to_string().parse::<Cpu>(), Ok(cpu.clone()));
        let class = cpu.class();
        let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-_".contains(letter);
        prop_assert!(class.len() <= 40 && class.chars().all(letters), "{}", class);
        prop_assert_eq!(lacking(&cpu, &cpu), Vec::<String>::new());
    }

    #[test]
    fn text_of_anybody_is_read_or_refused(text in ".{0,200}") {
        if let Ok(cpu) = text.parse::<Cpu>() {
            prop_assert_eq!(cpu.to_string().parse::<Cpu>(), Ok(cpu));
        }
    }
}
