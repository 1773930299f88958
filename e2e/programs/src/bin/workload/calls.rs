//! `workload calls`: connects to itself over loopback all the time, and takes its time to accept: in most moments there is a connection that
//! nobody has accepted, and none without lasts as long as a pod takes to be frozen. Ends with an error when a connection breaks or gives another answer than it should; never otherwise.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Failure;

/// Between a connection that has come and its being accepted.
const LATER: Duration = Duration::from_millis(1);
/// Between two connections.
const PAUSE: Duration = Duration::from_micros(200);

pub fn calls() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        loop {
            if let Err(error) = answer(&listener) {
                eprintln!("workload: {error}");
                std::process::exit(1);
            }
        }
    });
    for number in 0_u64.. {
        thread::sleep(PAUSE);
        let mut peer = TcpStream::connect(address)?;
        peer.write_all(&number.to_be_bytes())?;
        let mut answer = [0; 8];
        peer.read_exact(&mut answer)?;
        if answer != (number + 1).to_be_bytes() {
            return Err(format!("connection {number} got {answer:?}").into());
        }
    }
    Ok(())
}

fn answer(listener: &TcpListener) -> Result<(), Failure> {
    // Not asked for before one has come. A restore interrupts `poll` as a signal would.
    let mut wanted = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    while poll(&mut wanted, PollTimeout::NONE) == Err(Errno::EINTR) {}
    thread::sleep(LATER);
    let (mut peer, _) = listener.accept()?;
    let mut number = [0; 8];
    peer.read_exact(&mut number)?;
    peer.write_all(&(u64::from_be_bytes(number) + 1).to_be_bytes())?;
    Ok(())
}
