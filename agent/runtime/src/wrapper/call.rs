//! What an OCI runtime is called with: `[globals] COMMAND [options] [ID …]`, as containerd's shim and CRI-O's conmon do it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Everything, as given.
    pub arguments: Vec<OsString>,
    /// The global options, as given.
    pub globals: Vec<OsString>,
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--log`.
    pub log: Option<PathBuf>,
    /// Whether `--log-format` is `json`.
    pub json: bool,
    /// The command, e.g. `create`.
    pub command: Option<String>,
    /// What follows the command.
    pub rest: Vec<OsString>,
}

/// A `create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The bundle; the working directory if none is given.
    pub bundle: PathBuf,
    /// `--pid-file`.
    pub pid_file: Option<PathBuf>,
    /// The container's ID.
    pub id: String,
}

/// Global options of runc that take a value.
const GLOBALS_WITH_VALUE: [&str; 5] = ["root", "log", "log-format", "criu", "rootless"];
/// Options of `create` that take a value.
const CREATE_WITH_VALUE: [&str; 7] = [
    "bundle",
    "b",
    "console-socket",
    "pid-file",
    "preserve-fds",
    "pidfd-socket",
    "lsm-profile",
];

/// One option or word.
enum Word<'a> {
    Option { name: &'a str, value: Option<&'a OsStr> },
    Plain,
}

fn word(argument: &OsStr) -> Word<'_> {
    let Some(text) = argument.to_str() else {
        return Word::Plain;
    };
    let Some(name) = text
        .strip_prefix("--")
        .or_else(|| text.strip_prefix('-'))
        .filter(|name| !name.is_empty())
    else {
        return Word::Plain;
    };
    match name.split_once('=') {
        Some((name, value)) => Word::Option {
            name,
            value: Some(OsStr::new(value)),
        },
        None => Word::Option { name, value: None },
    }
}

impl Call {
    /// Parses the arguments, without the program's name. Never fails: what it does not understand is left to runc.
    pub fn parse(arguments: Vec<OsString>) -> Self {
        let mut call = Self {
            arguments: Vec::new(),
            globals: Vec::new(),
            root: None,
            log: None,
            json: false,
            command: None,
            rest: Vec::new(),
        };
        let mut position = 0;
        while let Some(argument) = arguments.get(position) {
            position += 1;
            let Word::Option { name, value } = word(argument) else {
                call.command = argument.to_str().map(str::to_owned);
                break;
            };
            call.globals.push(argument.clone());
            let mut value = value.map(OsStr::to_os_string);
            if value.is_none() && GLOBALS_WITH_VALUE.contains(&name) {
                value = arguments.get(position).cloned();
                call.globals.extend(value.clone());
                position += 1;
            }
            match name {
                "root" => call.root = value.map(PathBuf::from),
                "log" => call.log = value.map(PathBuf::from),
                "log-format" => call.json = value.is_some_and(|value| value == "json"),
                _ => {}
            }
        }
        call.rest = arguments.get(position..).unwrap_or_default().to_vec();
        call.arguments = arguments;
        call
    }

    /// The ID, if the command is `command` and its last argument can be one.
    pub fn id_of(&self, command: &str) -> Option<&str> {
        let id = self.rest.last()?.to_str()?;
        (self.command.as_deref() == Some(command) && !id.starts_with('-')).then_some(id)
    }

    /// The ID, if this is `kill ID` with SIGKILL.
    pub fn killed(&self) -> Option<&str> {
        let mut words = self
            .rest
            .iter()
            .filter_map(|word| word.to_str())
            .filter(|word| !word.starts_with('-'));
        let (id, signal) = (words.next()?, words.next()?);
        let kill = matches!(signal.to_ascii_uppercase().as_str(), "9" | "KILL" | "SIGKILL");
        (self.command.as_deref() == Some("kill") && kill).then_some(id)
    }

    /// The parts of a `create`; `None` for another command, or one without an ID.
    pub fn create(&self) -> Option<Create> {
        self.id_of("create")?;
        let mut create = Create {
            bundle: PathBuf::from("."),
            pid_file: None,
            id: String::new(),
        };
        let mut words = self.rest.iter();
        while let Some(argument) = words.next() {
            match word(argument) {
                Word::Plain => argument.to_str()?.clone_into(&mut create.id),
                Word::Option { name, value } => {
                    let mut value = value.map(OsStr::to_os_string);
                    if value.is_none() && CREATE_WITH_VALUE.contains(&name) {
                        value = words.next().cloned();
                    }
                    match name {
                        "bundle" | "b" => create.bundle = PathBuf::from(value?),
                        "pid-file" => create.pid_file = value.map(PathBuf::from),
                        _ => {}
                    }
                }
            }
        }
        (!create.id.is_empty()).then_some(create)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Call {
        Call::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn containerds_create_is_understood() {
        let call = parse(
            "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup \
             create --bundle /b --pid-file /b/init.pid --no-new-keyring abc",
        );
        assert_eq!(
            call.root.as_deref(),
            Some(std::path::Path::new("/run/containerd/runc/k8s.io"))
        );
        assert_eq!(call.log.as_deref(), Some(std::path::Path::new("/b/log.json")));
        assert!(call.json);
        assert_eq!(call.globals.len(), 7);
        let create = call.create().unwrap();
        assert_eq!(create.bundle, PathBuf::from("/b"));
        assert_eq!(create.pid_file, Some(PathBuf::from("/b/init.pid")));
        assert_eq!(create.id, "abc");
    }

    #[test]
    fn conmons_create_is_understood() {
        let create = parse("--systemd-cgroup --root=/run/runc create --bundle=/b --pid-file=/b/pidfile abc");
        assert_eq!(create.root, Some(PathBuf::from("/run/runc")));
        assert_eq!(create.globals.len(), 2);
        let create = create.create().unwrap();
        assert_eq!((create.bundle, create.id.as_str()), (PathBuf::from("/b"), "abc"));
    }

    #[test]
    fn other_commands_are_no_create() {
        assert_eq!(parse("--root /r start abc").create(), None);
        assert_eq!(parse("--root /r start abc").id_of("start"), Some("abc"));
        assert_eq!(parse("kill --all abc 9").killed(), Some("abc"));
        assert_eq!(parse("kill abc SIGKILL").killed(), Some("abc"));
        assert_eq!(parse("kill abc 15").killed(), None);
        assert_eq!(parse("delete --force abc").id_of("delete"), Some("abc"));
        assert_eq!(parse("--version").command, None);
        assert_eq!(parse("create --help").create(), None);
        assert_eq!(parse("").command, None);
    }
}
