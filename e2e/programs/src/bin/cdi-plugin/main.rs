//! What device plugins and vendors' toolkits do on nodes: a plugin of the container runtime (NRI) that gives containers CDI devices. A container gets
//! those that its pod's annotation `cdi.test/CONTAINER` names, separated by commas.
//!
//! Connects to `/var/run/nri/nri.sock`, makes the file that its argument names once it is registered, and ends with the connection. Runtimes speak
//! ttrpc with their plugins, over two channels of one socket: on the first they ask, on the second they are asked (containerd/nri,
//! `pkg/net/multiplex` and `pkg/api/api.proto`; containerd/ttrpc, `channel.go`).

mod channel;
mod message;

use std::io;
use std::os::unix::net::UnixStream;

use channel::{Channel, Kind, Trunk};
use message::{
    CdiDevice, ConfigureResponse, ContainerAdjustment, CreateContainerRequest, CreateContainerResponse,
    RegisterPluginRequest, Request, Response, SynchronizeRequest, SynchronizeResponse,
};
use prost::Message;

const SOCKET: &str = "/var/run/nri/nri.sock";
/// The event `CREATE_CONTAINER` as a bit of the mask that a plugin subscribes to.
const CREATE_CONTAINER: i32 = 1 << 3;
const PREFIX: &str = "cdi.test/";

fn main() -> io::Result<()> {
    let ready = std::env::args_os().nth(1);
    let mut trunk = Trunk::new(UnixStream::connect(SOCKET)?);
    let register = RegisterPluginRequest {
        plugin_name: "cdi".to_owned(),
        plugin_idx: "10".to_owned(),
    };
    let request = Request {
        service: "nri.pkg.api.v1alpha1.Runtime".to_owned(),
        method: "RegisterPlugin".to_owned(),
        payload: register.encode_to_vec(),
    };
    trunk.send(Channel::Asking, 1, Kind::Request, &request.encode_to_vec())?;
    loop {
        let (channel, stream, kind, payload) = trunk.receive()?;
        if channel != Channel::Asked || kind != Kind::Request {
            continue;
        }
        let asked = Request::decode(&payload[..]).map_err(io::Error::other)?;
        let payload = match asked.method.as_str() {
            "Configure" => ConfigureResponse {
                events: CREATE_CONTAINER,
            }
            .encode_to_vec(),
            "Synchronize" => {
                // The last of the opening: from here on containers are asked about.
                if let Some(ready) = &ready {
                    std::fs::write(ready, "")?;
                }
                let asked = SynchronizeRequest::decode(&asked.payload[..]).map_err(io::Error::other)?;
                SynchronizeResponse { more: asked.more }.encode_to_vec()
            }
            "CreateContainer" => {
                let asked = CreateContainerRequest::decode(&asked.payload[..]).map_err(io::Error::other)?;
                adjusted(asked).encode_to_vec()
            }
            _ => Vec::new(),
        };
        let response = Response { payload };
        trunk.send(Channel::Asked, stream, Kind::Response, &response.encode_to_vec())?;
    }
}

/// The devices of a container that is being created.
fn adjusted(asked: CreateContainerRequest) -> CreateContainerResponse {
    let (pod, container) = (asked.pod.unwrap_or_default(), asked.container.unwrap_or_default());
    let named = pod.annotations.get(&format!("{PREFIX}{}", container.name));
    let cdi_devices = named.map(|named| {
        let devices = named.split(',').map(str::to_owned);
        devices.map(|name| CdiDevice { name }).collect()
    });
    CreateContainerResponse {
        adjust: cdi_devices.map(|cdi_devices| ContainerAdjustment { cdi_devices }),
    }
}
