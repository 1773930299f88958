//! Small programs that use one feature each: `rust-rows NAME`. Each says `ok N` again and again, or once why not.

#![allow(clippy::print_stdout, reason = "what it says is for the one that started it")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Held = Result<(), Failure>;

const PATIENCE: Duration = Duration::from_secs(10);

/// Counts what went well.
#[derive(Default)]
struct Rounds(u64);

impl Rounds {
    /// The state was as it has to be; waits a little.
    fn ok(&mut self) {
        self.0 += 1;
        println!("ok {}", self.0);
        thread::sleep(Duration::from_millis(50));
    }
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let mut rounds = Rounds::default();
    let row = match name.as_str() {
        "channels" => channels,
        "locks" => locks,
        "timeouts" => timeouts,
        "tcp" => tcp,
        "udp" => udp,
        "unix" => unix,
        "command" => command,
        "file" => file,
        _ => unknown,
    };
    let error = row(&mut rounds).map_or_else(|error| error.to_string(), |()| "it came to an end".to_owned());
    println!("BROKEN: after {} rounds: {}", rounds.0, error.replace('\n', " "));
    ExitCode::FAILURE
}

fn unknown(_: &mut Rounds) -> Held {
    Err("no such row".into())
}

fn holds(condition: bool, what: impl FnOnce() -> String) -> Held {
    if condition { Ok(()) } else { Err(what().into()) }
}

/// Threads that hand numbers on by channels.
fn channels(rounds: &mut Rounds) -> Held {
    let (first, mut last) = mpsc::channel::<u64>();
    for _ in 0..8 {
        let (sender, receiver) = mpsc::sync_channel(2);
        let before = std::mem::replace(&mut last, receiver);
        thread::spawn(move || before.iter().try_for_each(|number| sender.send(number + 1)));
    }
    for number in 0.. {
        first.send(number)?;
        rounds.ok();
        let got = last.recv_timeout(PATIENCE)?;
        holds(got == number + 8, || format!("{got} instead of {}", number + 8))?;
    }
    Ok(())
}

/// Threads that meet at a barrier, and count under a mutex.
fn locks(rounds: &mut Rounds) -> Held {
    let meeting = Arc::new((Barrier::new(5), Barrier::new(5), Mutex::new(0_u64)));
    for _ in 0..4 {
        let meeting = Arc::clone(&meeting);
        thread::spawn(move || {
            loop {
                meeting.0.wait();
                *meeting.2.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                meeting.1.wait();
            }
        });
    }
    for wanted in 1.. {
        meeting.0.wait();
        meeting.1.wait();
        let count = *meeting.2.lock().unwrap_or_else(PoisonError::into_inner);
        holds(count == wanted * 4, || {
            format!("{count} instead of {}", wanted * 4)
        })?;
        rounds.ok();
    }
    Ok(())
}

/// Waits that end by time, and a clock that never goes back.
fn timeouts(rounds: &mut Rounds) -> Held {
    let never = (Mutex::new(()), Condvar::new());
    let mut before = Instant::now();
    loop {
        let guard = never.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = never.1.wait_timeout(guard, Duration::from_millis(20));
        let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        let now = Instant::now();
        holds(now > before, || "time goes back".to_owned())?;
        before = now;
        rounds.ok();
    }
}

/// A server with a thread for each client, one client that stays and new ones.
fn tcp(rounds: &mut Rounds) -> Held {
    let listener = TcpListener::bind("127.0.0.1:7600")?;
    thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut output = peer.try_clone()?;
                std::io::copy(&mut &peer, &mut output)
            });
        }
    });
    let lasting = TcpStream::connect("127.0.0.1:7600")?;
    for number in 0_u64.. {
        let fresh = TcpStream::connect("127.0.0.1:7600")?;
        for mut client in [&lasting, &fresh] {
            client.set_read_timeout(Some(PATIENCE))?;
            client.write_all(&number.to_le_bytes())?;
        }
        rounds.ok();
        for mut client in [&lasting, &fresh] {
            let mut got = [0; 8];
            client.read_exact(&mut got)?;
            holds(got == number.to_le_bytes(), || {
                format!("{got:?} instead of {number}")
            })?;
        }
    }
    Ok(())
}

/// Sends itself datagrams, of which one may be lost.
fn udp(rounds: &mut Rounds) -> Held {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(socket.local_addr()?)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    for number in 0_u64.. {
        let mut came = false;
        for _ in 0..5 {
            socket.send(&number.to_le_bytes())?;
            let mut got = [0; 8];
            while !came && socket.recv(&mut got).is_ok() {
                came = got == number.to_le_bytes();
            }
            if came {
                break;
            }
        }
        holds(came, || format!("datagram {number} does not come"))?;
        rounds.ok();
    }
    Ok(())
}

/// Lines on a unix socket with a name, half of them on their way.
fn unix(rounds: &mut Rounds) -> Held {
    let listener = UnixListener::bind("/tmp/rust.sock")?;
    let mut client = UnixStream::connect("/tmp/rust.sock")?;
    let (server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::with_capacity(8, server).lines();
    writeln!(client, "0")?;
    for number in 0_u64.. {
        writeln!(client, "{}", number + 1)?;
        rounds.ok();
        let line = lines.next().ok_or("the client closed")??;
        holds(line == number.to_string(), || {
            format!("{line} instead of {number}")
        })?;
    }
    Ok(())
}

/// A child program with pipes.
fn command(rounds: &mut Rounds) -> Held {
    let mut child = Command::new("/usr/bin/busybox")
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    for number in 0_u64.. {
        writeln!(input, "{number}")?;
        rounds.ok();
        let line = lines.next().ok_or("the child closed")??;
        holds(line == number.to_string() && child.try_wait()?.is_none(), || {
            format!("{line} instead of {number}")
        })?;
    }
    Ok(())
}

/// An open file that is locked, written at its position and read at others.
fn file(rounds: &mut Rounds) -> Held {
    let open = || {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open("/tmp/file")
    };
    let mut file: File = open()?;
    file.lock()?;
    for number in 0_u64.. {
        file.write_all(&number.to_le_bytes())?;
        rounds.ok();
        let mut got = [0; 8];
        file.read_exact_at(&mut got, number / 2 * 8)?;
        let at = file.stream_position()?;
        holds(
            got == (number / 2).to_le_bytes() && at == (number + 1) * 8,
            || format!("{got:?} at {at} instead of {number}"),
        )?;
        holds(open()?.try_lock().is_err(), || "the lock is free".to_owned())?;
    }
    Ok(())
}
