//! The OCI runtime that containerd calls for pods of RuntimeClass `godwit`; see [`godwit_runtime::wrapper`].

fn main() -> std::process::ExitCode {
    godwit_runtime::wrapper::main(&godwit_runtime::layout::Layout::new(std::path::Path::new("")))
}
