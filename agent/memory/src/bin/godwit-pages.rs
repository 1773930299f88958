//! The page server of a lazy restore; see [`godwit_memory::serve`]. `godwit-pages serve DIR`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(command), Some(dir), None) if command == "serve" => {
            // Why it failed stands in the directory.
            godwit_memory::serve::run(Path::new(&dir)).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        _ => ExitCode::from(2),
    }
}
