//! What runc starts: it makes the relay beside itself and becomes the real CRIU.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{getpid, getppid};

use super::session::{Orders, Session};
use super::{ENV_GATE_DEADLINE_MS, ENV_GATE_DIR, ENV_HOLD, ENV_LAZY, LAZY_UNVEILED, RelayError, lazy};
use crate::packet::{self, Packet};
use crate::process::{self, Process, Side};
use crate::record::{CONFIG, RELAY_FAILED, RecordDir, unix_ms};
use crate::veil;

/// How long to wait at the gate if nobody says otherwise.
const DEFAULT_WAIT_MS: u64 = 120_000;
/// The relay's own descriptors are numbered from here on, so that those below are free to stand for runc's.
const OWN_DESCRIPTORS: i32 = 600;
/// CRIU's end of the page server is numbered from here on: above all that runc hands over.
const PAGE_SERVER: i32 = 300;
/// Environment: CRIU's configuration file; `parse_options` in CRIU's `config.c` reads it.
const ENV_CONFIG: &str = "CRIU_CONFIG_FILE";

/// The program `criu`: never returns if it succeeds, because it becomes the real CRIU. Prints nothing: its standard streams are the
/// container's.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let gate = env::var_os(ENV_GATE_DIR).map(PathBuf::from);
    let worker = worker_socket(&arguments);
    let result = match (&gate, worker) {
        (Some(gate), Some(number)) => {
            beside(number, gate).and_then(|config| become_criu(&arguments, config.as_deref()))
        }
        _ => become_criu(&arguments, None),
    };
    let Err(error) = result;
    if let Some(gate) = gate {
        report(&gate, &error);
    }
    ExitCode::from(127)
}

/// The number in `swrk NUMBER`.
fn worker_socket(arguments: &[OsString]) -> Option<i32> {
    match arguments {
        [command, number] if command == "swrk" => number.to_str()?.parse().ok().filter(|number| *number > 2),
        _ => None,
    }
}

/// Whether the environment says `1`.
fn asked(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| value == "1")
}

/// Whether a lazy dump or restore is wanted.
fn lazy_asked() -> bool {
    asked(ENV_LAZY) || env::var_os(ENV_LAZY).is_some_and(|value| value == LAZY_UNVEILED)
}

/// Makes the relay and puts its socket in the place of runc's. Returns in the launcher only, with the configuration that CRIU is to have if
/// it is not the one of all our calls.
fn beside(number: i32, gate: &Path) -> Result<Option<PathBuf>, RelayError> {
    let lazy_dump = lazy_asked() && !asked(ENV_HOLD);
    // Before the split: the relay lays the veil in CRIU's mount namespace. Without one nothing is hidden.
    let veiled = lazy_dump && asked(ENV_LAZY) && veil::private_mounts().is_ok();
    let failed = |action| move |source| RelayError::System { action, source };
    let pair = || {
        socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
    };
    let (ours, theirs) = pair().map_err(failed("make a socket"))?;
    let criu = Process::open(getpid().as_raw()).map_err(failed("open this process"))?;
    match process::split().map_err(failed("start the relay"))? {
        Side::Caller(_) => {
            drop(theirs);
            let handed = packet::receive(&ours).map_err(failed("get the relay's socket"))?;
            let mut handed = handed.unwrap_or_default().descriptors.into_iter();
            let socket = handed.next().ok_or(RelayError::System {
                action: "get the relay's socket",
                source: nix::errno::Errno::EPIPE,
            })?;
            process::install(&socket, number).map_err(failed("put the relay's socket in place"))?;
            let Some(pages) = handed.next() else {
                return Ok(None);
            };
            let pages =
                process::leave_open(&pages, PAGE_SERVER).map_err(failed("hand on the page server"))?;
            let common = env::var_os(ENV_CONFIG).map(PathBuf::from);
            lazy::configure(gate, common.as_deref(), pages)?;
            Ok(Some(gate.join(CONFIG)))
        }
        Side::Sibling => {
            drop(ours);
            let done = relay(number, &theirs, criu, gate, lazy_dump, veiled);
            if let Err(error) = &done {
                report(gate, error);
            }
            std::process::exit(i32::from(done.is_err()));
        }
    }
}

/// The relay's life.
fn relay(
    number: i32,
    launcher: &OwnedFd,
    criu: Process,
    gate: &Path,
    lazy_dump: bool,
    veiled: bool,
) -> Result<(), RelayError> {
    let failed = |action| move |source| RelayError::System { action, source };
    // The socket for CRIU must be made here: CRIU opens runc's directories through /proc/PID/fd of whoever made its socket.
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(failed("make a socket"))?;
    let high = |fd| process::raise(fd, OWN_DESCRIPTORS).map_err(failed("move a descriptor"));
    let mut descriptors = vec![theirs];
    let mut pages = None;
    // To a restore lazy pages come by another way.
    if lazy_dump {
        let (our_end, crius) = lazy::ended_page_server()?;
        descriptors.push(crius);
        pages = Some(high(our_end)?);
    }
    packet::send(
        launcher,
        &Packet {
            bytes: vec![0],
            descriptors,
        },
    )
    .map_err(failed("hand a socket to the launcher"))?;
    let ours = high(ours)?;
    let runc = high(process::adopt(number).map_err(failed("take over runc's socket"))?)?;
    let criu = criu.raise(OWN_DESCRIPTORS).map_err(failed("move a descriptor"))?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|source| RelayError::Exec {
            path: PathBuf::from("/dev/null"),
            source,
        })?;
    for stream in 0..3 {
        process::install(&null, stream).map_err(failed("leave the container's streams"))?;
    }
    drop(null);
    // `launcher` is closed by this too; its value lives on in the caller, which ends the process without dropping it.
    process::close_below(OWN_DESCRIPTORS).map_err(failed("leave the container's descriptors"))?;
    let deadline_ms = env::var(ENV_GATE_DEADLINE_MS)
        .ok()
        .and_then(|text| text.parse().ok());
    let mut session = Session::new(
        runc,
        ours,
        criu,
        getppid().as_raw(),
        gate.to_path_buf(),
        Orders {
            hold: asked(ENV_HOLD),
            lazy: lazy_asked(),
            veiled,
            pages,
            deadline_ms: deadline_ms.unwrap_or_else(|| unix_ms().saturating_add(DEFAULT_WAIT_MS)),
        },
    )?;
    session.run()
}

/// Becomes the real CRIU, by its own loader if there is one beside it.
fn become_criu(
    arguments: &[OsString],
    config: Option<&Path>,
) -> Result<std::convert::Infallible, RelayError> {
    let exec = |path: &Path, source| RelayError::Exec {
        path: path.to_path_buf(),
        source,
    };
    let here = env::current_exe().map_err(|source| exec(Path::new("/proc/self/exe"), source))?;
    let real = here.parent().unwrap_or(Path::new("/")).join("real");
    let (program, loader) = (real.join("criu"), real.join("ld.so"));
    let mut command = if loader.exists() {
        let mut command = Command::new(&loader);
        command.arg("--library-path").arg(real.join("lib"));
        command
            .args([OsStr::new("--argv0"), OsStr::new("criu")])
            .arg(&program);
        command
    } else {
        let mut command = Command::new(&program);
        command.arg0("criu");
        command
    };
    if let Some(config) = config {
        command.env(ENV_CONFIG, config);
        command.env(veil::FAULT.0, veil::FAULT.1);
    }
    Err(exec(&program, command.args(arguments).exec()))
}

/// Leaves the reason in the gate directory; there is nobody else to tell.
fn report(gate: &Path, error: &RelayError) {
    if let Ok(directory) = RecordDir::open_handed(gate) {
        let _ = directory.write_json(RELAY_FAILED, &error.failed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_is_relayed() {
        let socket = |words: &[&str]| worker_socket(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(socket(&["swrk", "3"]), Some(3));
        assert_eq!(socket(&["swrk", "1"]), None);
        assert_eq!(socket(&["swrk", "x"]), None);
        assert_eq!(socket(&["check"]), None);
        assert_eq!(socket(&[]), None);
    }
}
