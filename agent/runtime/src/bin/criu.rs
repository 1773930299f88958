//! What runc finds as `criu`; see [`godwit_runtime::relay`].

fn main() -> std::process::ExitCode {
    godwit_runtime::relay::main()
}
