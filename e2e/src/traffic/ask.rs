//! One line to a port of a pod, one line back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;

use crate::suite::{Lab, address_of, node_of};

/// How long an answer may take: a program that lists many files, or closes connections, takes its time.
const PATIENCE: Duration = Duration::from_secs(50);

/// Send `line` from the pod's own node and give what comes back, without its end.
pub async fn ask(lab: &Lab, pod: &Pod, port: u16, line: &str) -> Result<String> {
    let address = SocketAddr::new(address_of(pod)?, port);
    let line = line.to_owned();
    lab.from_node(node_of(pod)?, move || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
            .with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        if BufReader::new(stream).read_line(&mut answer)? == 0 {
            bail!("{address} closed the connection");
        }
        Ok(answer.trim_end_matches('\n').to_owned())
    })
    .await
}
