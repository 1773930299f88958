//! Any bytes from a peer end in operations within all bounds, or in an error.
#![no_main]

#[path = "../../tests/support/wire_drive.rs"]
mod wire_drive;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_drive::drive(input);
});
