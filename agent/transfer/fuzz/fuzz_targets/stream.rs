//! Any bytes from a peer end in events or in an error, at any stage, whatever the cut.
#![no_main]

#[path = "../../tests/support/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    drive::drive(input);
});
