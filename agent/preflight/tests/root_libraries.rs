//! A library of the node in a program of the pod, held against other builds of it. Needs root, for a mount and for `/proc/PID/map_files`; and `cc`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set up its scene has failed"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use godwit_preflight::files::{Cache, Found, Here, HostFile, compare, here, used};
use godwit_preflight::{Container, Finding, Pod};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

const OLD: &str = "int foo_old(void) { return 1; }\n";
const NEW: &str = "int foo_new(void) { return 2; }\n";
const OTHER: &str = "int foo_other(void) { return 3; }\n";
const TWO_VERSIONS: &str = "FOO_2.0 { global: foo_old; local: *; }; FOO_2.4 { global: foo_new; } FOO_2.0;";
const ONE_VERSION: &str = "FOO_2.0 { global: foo_old; local: *; };";
/// Calls one function, waits for a line, calls the other, waits again.
const PROGRAM: &str = "#include <stdio.h>\n\
    int foo_old(void); int foo_new(void);\n\
    int main(void) { char line[9];\n\
    printf(\"%d\\n\", foo_old()); fflush(stdout); if (!fgets(line, 9, stdin)) return 1;\n\
    printf(\"%d\\n\", foo_new()); fflush(stdout); return !fgets(line, 9, stdin); }\n";

fn cc(dir: &Path, source: &str, output: &Path, arguments: &[&str]) {
    let file = dir.join("source.c");
    std::fs::write(&file, source).unwrap();
    let mut command = Command::new("cc");
    let status = command
        .args(["-O1", "-fPIC"])
        .arg(&file)
        .arg("-o")
        .arg(output)
        .args(arguments)
        .status();
    assert!(status.expect("the C compiler cc is needed").success());
}

fn library(dir: &Path, output: &str, source: &str, versions: &str) -> PathBuf {
    let script = dir.join("versions");
    std::fs::write(&script, versions).unwrap();
    let output = dir.join(output);
    std::fs::create_dir_all(output.parent().unwrap()).unwrap();
    let script = format!("-Wl,--version-script={}", script.display());
    cc(
        dir,
        source,
        &output,
        &["-shared", "-Wl,-soname,libfoo.so.2", "-Wl,--build-id", &script],
    );
    output
}

struct Running {
    process: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    /// A program whose library lies on the node in `node/` and is mounted at `pod/`.
    fn new(link: &[&str], bind_now: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        library(at, "node/libfoo.so.2", &format!("{OLD}{NEW}"), TWO_VERSIONS);
        let (node, pod, program) = (at.join("node"), at.join("pod"), at.join("program"));
        std::fs::create_dir(&pod).unwrap();
        let rpath = format!("-Wl,-rpath,{}", pod.display());
        let library = node.join("libfoo.so.2").display().to_string();
        cc(
            at,
            PROGRAM,
            &program,
            &[&[library.as_str(), &rpath], link].concat(),
        );
        let mut command = Command::new(&program);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env_remove("LD_BIND_NOW");
        if let Some(value) = bind_now {
            command.env("LD_BIND_NOW", value);
        }
        // SAFETY: system calls alone, with paths that were made before.
        unsafe {
            command.pre_exec(move || {
                if libc::unshare(libc::CLONE_NEWNS) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
                mount_bind(&node, &pod)?;
                Ok(())
            });
        }
        let mut process = command.spawn().expect("root is needed");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut this = Self {
            process,
            input,
            output,
            dir,
        };
        this.hear("1");
        this
    }

    fn hear(&mut self, wanted: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), wanted);
    }

    fn call_the_other(&mut self) {
        self.input.write_all(b"x\n").unwrap();
        self.hear("2");
    }

    fn pod(&self) -> Pod {
        Pod {
            proc: PathBuf::from("/proc"),
            containers: vec![Container {
                name: "app".into(),
                pids: vec![self.process.id()],
                mounts: Vec::new(),
            }],
            ghost_limit: 0,
            watches_on_overlay: false,
        }
    }

    /// The library, which is the only file of the node.
    fn library(&self) -> HostFile {
        let mut files = used(&self.pod(), &mut Cache::default());
        assert_eq!(files.len(), 1, "{files:#?}");
        files.remove(0)
    }

    /// The destination's node has this in the library's place.
    fn against(&self, source: &str, versions: &str) -> Vec<Finding> {
        library(self.dir.path(), "root/libfoo.so.2", source, versions);
        let found = here(
            &self.dir.path().join("root"),
            Path::new("/libfoo.so.2"),
            &mut Cache::default(),
        );
        against(&self.library(), found.unwrap().as_ref())
    }
}

fn against(file: &HostFile, here: Option<&Here>) -> Vec<Finding> {
    let wanted = file.content.as_ref().map(|it| (it.size, &it.digest[..]));
    let symbols = file.needs.iter().map(|need| &need.symbol);
    compare(file, "n2", &Found::of(here, wanted, symbols))
}

fn checks(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|found| found.check).collect()
}

const LAZY: &[&str] = &["-Wl,-z,lazy"];

#[test]
fn the_library_is_found_with_what_is_needed_of_it() {
    let running = Running::new(LAZY, None);
    let file = running.library();
    assert!(
        file.path.ends_with("/pod/libfoo.so.2") && file.on_node.ends_with("/node/libfoo.so.2"),
        "{file:?}"
    );
    let content = file.content.unwrap();
    let bytes = std::fs::read(&file.on_node).unwrap();
    assert_eq!(
        (content.size, content.digest),
        (bytes.len() as u64, *blake3::hash(&bytes).as_bytes())
    );
    assert!(content.build_id.is_some());
    let [user] = &file.users[..] else {
        panic!("{:?}", file.users);
    };
    assert!(user.mapped && user.process == "program" && user.container == "app");
    let mut needs: Vec<(String, bool)> = file
        .needs
        .iter()
        .map(|it| (format!("{}@{}", it.symbol.name, it.symbol.version), it.unbound))
        .collect();
    needs.sort();
    assert_eq!(
        needs,
        [
            ("foo_new@FOO_2.4".to_owned(), true),
            ("foo_old@FOO_2.0".to_owned(), false)
        ]
    );
}

#[test]
fn an_equal_file_is_fine_and_read_once() {
    let running = Running::new(LAZY, None);
    let mut cache = Cache::default();
    let files = used(&running.pod(), &mut cache);
    assert_eq!(cache.reads(), 1);
    assert_eq!(used(&running.pod(), &mut cache), files);
    let same = here(Path::new("/"), files[0].on_node.as_ref(), &mut cache).unwrap();
    assert_eq!(cache.reads(), 1);
    assert_eq!(against(&files[0], same.as_ref()), []);
}

#[test]
fn another_build_is_told_with_what_is_not_bound_yet() {
    let running = Running::new(LAZY, None);
    let found = running.against(&format!("{OTHER}{OLD}{NEW}"), TWO_VERSIONS);
    assert_eq!(checks(&found), ["HostFileDiffers"], "{found:#?}");
    for part in [
        "n2's libfoo.so.2",
        "program (pid ",
        "1 symbols",
        "foo_new@FOO_2.4",
    ] {
        assert!(found[0].message.contains(part), "{}", found[0].message);
    }
}

#[test]
fn a_symbol_that_is_missing_and_not_bound_is_named() {
    let running = Running::new(LAZY, None);
    let found = running.against(OLD, ONE_VERSION);
    assert_eq!(
        checks(&found),
        ["HostSymbolMissing", "HostFileDiffers"],
        "{found:#?}"
    );
    assert_eq!(found[0].object, "foo_new@FOO_2.4");
    let text = "n2's libfoo.so.2 lacks foo_new@FOO_2.4, which program (pid ";
    assert!(found[0].message.contains(text), "{}", found[0].message);
    assert!(
        found[0].message.contains("has not resolved yet"),
        "{}",
        found[0].message
    );
}

#[test]
fn the_same_name_of_another_version_is_missing_too() {
    let running = Running::new(LAZY, None);
    let versions = "FOO_2.0 { global: foo_old; foo_new; local: *; };";
    let found = running.against(&format!("{OLD}{NEW}"), versions);
    assert_eq!(
        checks(&found),
        ["HostSymbolMissing", "HostFileDiffers"],
        "{found:#?}"
    );
}

#[test]
fn what_is_bound_does_not_look_it_up_any_more() {
    let mut called = Running::new(LAZY, None);
    called.call_the_other();
    let by_environment = Running::new(LAZY, Some("1"));
    let by_linking = Running::new(&["-Wl,-z,now"], None);
    for running in [called, by_environment, by_linking] {
        let found = running.against(OLD, ONE_VERSION);
        assert_eq!(checks(&found), ["HostFileDiffers"], "{found:#?}");
        for part in ["all its symbols are bound", "lacks foo_new@FOO_2.4"] {
            assert!(found[0].message.contains(part), "{}", found[0].message);
        }
    }
    // An empty value does not ask for it.
    let lazy = Running::new(LAZY, Some(""));
    assert_eq!(
        checks(&lazy.against(OLD, ONE_VERSION)),
        ["HostSymbolMissing", "HostFileDiffers"]
    );
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let running = Running::new(LAZY, None);
    let file = running.library();
    let root = running.dir.path().join("empty");
    std::fs::create_dir_all(root.join("libfoo.so.2")).unwrap();
    for path in ["/nothing/libfoo.so.2", "/libfoo.so.2"] {
        let none = here(&root, Path::new(path), &mut Cache::default()).unwrap();
        assert!(none.is_none());
        assert_eq!(checks(&against(&file, none.as_ref())), ["HostFileMissing"]);
    }
}

#[test]
fn what_kubernetes_mounts_is_not_the_nodes() {
    let running = Running::new(LAZY, None);
    let mut pod = running.pod();
    pod.containers[0].mounts = vec![running.dir.path().join("pod")];
    assert_eq!(used(&pod, &mut Cache::default()), []);
}
