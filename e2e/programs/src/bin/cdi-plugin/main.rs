//! What device plugins and vendors' toolkits do on nodes: a plugin of the container runtime (NRI) that gives containers CDI devices. A container gets
//! those that its pod's annotation `cdi.test/CONTAINER` names, separated by commas.
//!
//! Connects to `/var/run/nri/nri.sock`, makes the file that its argument names once it is registered, and ends with the connection. Runtimes speak
//! ttrpc with their plugins, over two channels of one socket: on the first they ask, on the second they are asked (containerd/nri,
//! `pkg/net/multiplex` and `pkg/api/api.proto`; containerd/ttrpc, `channel.go`).

mod channel;
mod message;

use std::os::unix::net::UnixStream;

use channel::{Channel, Kind, Trunk};
use message::{Field, fields, put};

const SOCKET: &str = "/var/run/nri/nri.sock";
/// The event `CREATE_CONTAINER` as a bit of the mask that a plugin subscribes to.
const CREATE_CONTAINER: u64 = 1 << 3;
const PREFIX: &str = "cdi.test/";

fn main() -> std::io::Result<()> {
    let ready = std::env::args_os().nth(1);
    let mut trunk = Trunk::new(UnixStream::connect(SOCKET)?);
    let mut register = Vec::new();
    put(&mut register, 1, b"cdi");
    put(&mut register, 2, b"10");
    let mut request = Vec::new();
    put(&mut request, 1, b"nri.pkg.api.v1alpha1.Runtime");
    put(&mut request, 2, b"RegisterPlugin");
    put(&mut request, 3, &register);
    trunk.send(Channel::Asking, 1, Kind::Request, &request)?;
    loop {
        let (channel, stream, kind, payload) = trunk.receive()?;
        if channel != Channel::Asked || kind != Kind::Request {
            continue;
        }
        let Some((method, asked)) = request_of(&payload) else {
            continue;
        };
        let answer = match method {
            b"Configure" => {
                let mut answer = Vec::new();
                message::put_number(&mut answer, 2, CREATE_CONTAINER);
                answer
            }
            b"Synchronize" => {
                // The last of the opening: from here on containers are asked about.
                if let Some(ready) = &ready {
                    std::fs::write(ready, "")?;
                }
                synchronized(asked)
            }
            b"CreateContainer" => adjusted(asked),
            _ => Vec::new(),
        };
        let mut response = Vec::new();
        put(&mut response, 2, &answer);
        trunk.send(Channel::Asked, stream, Kind::Response, &response)?;
    }
}

/// Method and payload of a ttrpc request.
fn request_of(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let found = fields(payload)?;
    let part = |number| found.iter().find(|it| it.number == number).map(|it| it.bytes);
    Some((part(2)?, part(3).unwrap_or_default()))
}

/// Long lists come in parts; each is answered by whether there are more.
fn synchronized(asked: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let more = fields(asked).unwrap_or_default();
    if more.iter().any(|it| it.number == 3 && it.value != 0) {
        message::put_number(&mut answer, 2, 1);
    }
    answer
}

/// The devices of a container that is being created.
fn adjusted(asked: &[u8]) -> Vec<u8> {
    let mut adjust = Vec::new();
    for device in devices(asked).unwrap_or_default() {
        let mut one = Vec::new();
        put(&mut one, 1, device.as_bytes());
        put(&mut adjust, 8, &one);
    }
    let mut answer = Vec::new();
    if !adjust.is_empty() {
        put(&mut answer, 1, &adjust);
    }
    answer
}

fn devices(asked: &[u8]) -> Option<Vec<String>> {
    let asked = fields(asked)?;
    let part = |number| asked.iter().find(|it| it.number == number).map(|it| it.bytes);
    let (pod, container) = (fields(part(1)?)?, fields(part(2)?)?);
    let name = text(container.iter().find(|it| it.number == 3)?);
    let wanted = format!("{PREFIX}{name}");
    let named = pod.iter().filter(|it| it.number == 6).find_map(|entry| {
        let entry = fields(entry.bytes)?;
        let part = |number| entry.iter().find(|it| it.number == number).map(text);
        (part(1)? == wanted).then(|| part(2)).flatten()
    })?;
    Some(named.split(',').map(str::to_owned).collect())
}

fn text(field: &Field<'_>) -> String {
    String::from_utf8_lossy(field.bytes).into_owned()
}
