use super::*;

#[test]
fn this_processor_is_compatible_with_itself_and_survives_a_line_of_text() {
    let here = Cpu::here();
    assert_eq!(here.to_string().parse(), Ok(here.clone()));
    assert_eq!(lacking(&here, &here), Vec::<String>::new());
    assert!(!here.features.is_empty(), "{here:?}");
}

#[test]
fn a_class_is_a_label_value_and_stable() {
    let class = Cpu::here().class();
    assert!(
        class.len() <= 40
            && class
                .chars()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || ".-_".contains(it)),
        "{class}"
    );
    assert_eq!(class, Cpu::here().class());
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
    ] {
        assert_eq!(text.parse::<Cpu>(), Err(CpuTextError), "{text}");
    }
    assert_eq!(CpuTextError.reason(), "CpuTextInvalid");
}
