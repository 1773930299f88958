//! The program that knows what should be in its memory: it finds nothing wrong with itself, and it does find what is wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an answer may take on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pages of the first region of these tests.
const PAGES: u64 = 2048;

struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    stream: BufReader<TcpStream>,
    /// PID and address of the first page, of each process that has said so.
    regions: Vec<(u32, u64)>,
}

impl Program {
    fn start(words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pagewriter"))
            .arg("0")
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut regions = Vec::new();
        let port: u16 = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it has ended");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["answering", "on", "port", port] => break port.parse().unwrap(),
                ["process", number, "(pid", pid, _, "pages", "at", address] => {
                    let address = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap();
                    let number: usize = number.parse().unwrap();
                    regions.push((number, (pid.trim_end_matches("):").parse().unwrap(), address)));
                }
                _ => assert!(line.is_empty(), "{line}"),
            }
        };
        // They say it in any order.
        regions.sort_unstable();
        let regions = regions.into_iter().map(|(_, region)| region).collect();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            child,
            output,
            stream: BufReader::new(stream),
            regions,
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        self.stream.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// Changes one byte of a page from outside.
    fn spoil(&self, process: usize, page: u64) {
        let (pid, address) = self.regions[process];
        let memory = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .unwrap();
        let place = address + page * 4096 + 1000;
        let mut byte = [0];
        memory.read_exact_at(&mut byte, place).unwrap();
        memory.write_all_at(&[!byte[0]], place).unwrap();
    }

    /// Ends it by `stop`; gives its exit code and what it wrote.
    fn stop(mut self) -> (Option<i32>, String) {
        self.ask("stop");
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let text: Vec<String> = (&mut self.output).lines().map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), text.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Its children go with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The largest number behind any `"name":`.
fn number(json: &str, name: &str) -> u64 {
    let before = format!("\"{name}\":");
    let found = json.split(&before).skip(1).map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    });
    found.max().unwrap()
}

#[test]
fn all_ways_to_treat_memory_leave_it_whole() {
    let mut program = Program::start(&[
        "memory=16M",
        "rate=20M",
        "threads=2",
        "processes=2",
        "churn=yes",
        "thirds=3M",
    ]);
    let began = Instant::now();
    // Longer than a fleeting child lives; every way has had its turns.
    loop {
        let stats = program.ask("stats");
        let rounds = stats
            .split_once("\"rounds\":[")
            .unwrap()
            .1
            .split_once(']')
            .unwrap()
            .0;
        let rounds: Vec<u64> = rounds.split(',').map(|round| round.parse().unwrap()).collect();
        assert_eq!(rounds.len(), 3, "{stats}");
        if rounds.iter().all(|&round| round > 45) && began.elapsed() > Duration::from_secs(5) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{stats}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let answer = program.ask("verify");
    let pages: u64 = answer
        .strip_prefix("ok ")
        .unwrap_or_else(|| panic!("{answer}"))
        .parse()
        .unwrap();
    assert!(pages > 4096 + 768, "{pages}");
    let stats = program.ask("stats");
    assert!(
        number(&stats, "written") > 0 && number(&stats, "damages") == 0,
        "{stats}"
    );
    let (code, text) = program.stop();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_page_that_was_changed_from_outside_is_found() {
    // Nothing else writes there, so that the change stays.
    let mut program = Program::start(&["memory=16M", "rate=0", "processes=2", "look=0"]);
    assert!(program.ask("verify").starts_with("ok "));
    program.spoil(1, PAGES - 5);
    let answer = program.ask("verify");
    assert!(
        answer.starts_with("damaged 1: process 1: page 2043") && answer.contains("checksum"),
        "{answer}"
    );
    let (code, text) = program.stop();
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("DAMAGED process 1: page 2043"), "{text}");
}

#[test]
fn a_page_that_has_gone_back_is_found() {
    let mut program = Program::start(&["memory=1M", "rate=2M", "threads=1", "look=0"]);
    let (pid, address) = program.regions[0];
    let memory = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))
        .unwrap();
    let mut old = vec![0; 1 << 20];
    memory.read_exact_at(&mut old, address).unwrap();
    let before = number(&program.ask("stats"), "written");
    // Until every page has most likely been written again.
    while number(&program.ask("stats"), "written") < before + 2000 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(program.ask("verify").starts_with("ok "));
    memory.write_all_at(&old, address).unwrap();
    let answer = program.ask("verify");
    assert!(
        answer.starts_with("damaged ") && answer.contains(" instead of "),
        "{answer}"
    );
}

#[test]
fn a_page_of_zeros_is_found_by_the_thread_that_looks() {
    let mut program = Program::start(&["memory=16M", "rate=0", "look=20000"]);
    let (pid, address) = program.regions[0];
    let memory = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{pid}/mem"))
        .unwrap();
    memory.write_all_at(&vec![0; 256 * 4096], address + 4096).unwrap();
    let began = Instant::now();
    while number(&program.ask("stats"), "damages") == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing was found");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_process_that_dies_is_damage_and_a_stop_is_seen_as_a_gap() {
    let mut program = Program::start(&["memory=4M", "rate=0", "threads=1", "processes=2"]);
    program.ask("gap");
    let pid = program.regions[0].0;
    let signal = |name: &str| {
        let sent = Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    std::thread::sleep(Duration::from_millis(300));
    signal("-CONT");
    std::thread::sleep(Duration::from_millis(100));
    let gaps = program.ask("gap");
    assert!(number(&gaps, "gap_us") >= 250_000, "{gaps}");
    signal("-KILL");
    let began = Instant::now();
    while number(&program.ask("stats"), "damages") == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing was noticed");
        std::thread::sleep(Duration::from_millis(20));
    }
}
