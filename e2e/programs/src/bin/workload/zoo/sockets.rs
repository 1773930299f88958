//! Sockets whose both ends are inside: streams, datagrams that wait, a listener, TCP over loopback.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use crate::Failure;
use crate::board::{Board, same};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

pub(super) fn keep(board: &Board) -> Result<(), Failure> {
    let (mut near, mut far) = UnixStream::pair()?;
    near.set_read_timeout(PATIENCE)?;
    near.write_all(&0_u64.to_le_bytes())?;
    far.set_read_timeout(PATIENCE)?;
    board.keep("a pair of stream sockets with bytes under way", move |round| {
        let mut found = [0; 8];
        far.read_exact(&mut found)?;
        same("the bytes", u64::from_le_bytes(found), round - 1)?;
        near.write_all(&round.to_le_bytes())?;
        Ok(())
    });
    let (near, far) = UnixDatagram::pair()?;
    far.set_read_timeout(PATIENCE)?;
    near.send(b"0")?;
    near.send(b"1")?;
    board.keep("datagrams that wait", move |round| {
        let mut found = [0; 32];
        let length = patiently(|| far.recv(&mut found))?;
        same(
            "a datagram",
            String::from_utf8_lossy(&found[..length]).into_owned(),
            (round - 1).to_string(),
        )?;
        near.send((round + 1).to_string().as_bytes())?;
        Ok(())
    });
    named_socket(board)?;
    loopback(board)?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(PATIENCE)?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    board.keep("UDP over loopback", move |round| {
        // Between two rounds nothing is under way: UDP may lose it.
        sender.send_to(&round.to_le_bytes(), receiver.local_addr()?)?;
        let mut found = [0; 8];
        patiently(|| receiver.recv(&mut found))?;
        same("the datagram", u64::from_le_bytes(found), round)
    });
    Ok(())
}

/// A wait with a time limit is not taken up again by the kernel after a freeze; any program must do so itself.
fn patiently<T>(mut wait: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match wait() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A listener with a path: an old connection lives on, new ones are taken.
fn named_socket(board: &Board) -> Result<(), Failure> {
    let path = "/tmp/zoo.socket";
    let listener = UnixListener::bind(path)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let Ok(mut back) = stream.try_clone() else { return };
                let _ = std::io::copy(&mut { stream }, &mut back);
            });
        }
    });
    let mut old = UnixStream::connect(path)?;
    old.set_read_timeout(PATIENCE)?;
    board.keep("a listening unix socket", move |round| {
        let mut fresh = UnixStream::connect(path)?;
        fresh.set_read_timeout(PATIENCE)?;
        for stream in [&mut old, &mut fresh] {
            stream.write_all(&round.to_le_bytes())?;
            let mut found = [0; 8];
            stream.read_exact(&mut found)?;
            same("the echo", u64::from_le_bytes(found), round)?;
        }
        Ok(())
    });
    Ok(())
}

fn loopback(board: &Board) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut near = TcpStream::connect(address)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_read_timeout(PATIENCE)?;
    near.write_all(&0_u64.to_le_bytes())?;
    board.keep("TCP over loopback with bytes under way", move |round| {
        let mut found = [0; 8];
        far.read_exact(&mut found)?;
        same("the bytes", u64::from_le_bytes(found), round - 1)?;
        same("the listener", listener.local_addr()?, address)?;
        near.write_all(&round.to_le_bytes())?;
        Ok(())
    });
    Ok(())
}
