//! What is known when a behaviour was not shown: for the person who reads the log.

use std::fmt::Write as _;
use std::process::Command;

use crate::{Cluster, command};

/// The lines of a log that are quoted.
const LINES: &str = "25";

/// Migrations, pods and events of the namespace, and the end of the logs of agents and operator.
pub fn gather(cluster: &Cluster, namespace: &str) -> String {
    let mut text = String::new();
    let looks: [(&str, Vec<&str>); 5] = [
        (
            "migrations",
            vec!["-n", namespace, "get", "podmigrations", "-o", "yaml"],
        ),
        ("pods", vec!["-n", namespace, "get", "pods", "-o", "wide"]),
        (
            "events",
            vec!["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"],
        ),
        (
            "agents",
            vec![
                "-n",
                "godwit",
                "logs",
                "-l",
                "app.kubernetes.io/component=agent",
                "--prefix",
                "--tail",
                LINES,
            ],
        ),
        (
            "operator",
            vec![
                "-n",
                "godwit",
                "logs",
                "-l",
                "app.kubernetes.io/component=operator",
                "--tail",
                LINES,
            ],
        ),
    ];
    for (what, arguments) in looks {
        let found = cluster
            .kubectl()
            .and_then(|mut kubectl| command::output(with_deadline(&mut kubectl).args(arguments)));
        let found = found.unwrap_or_else(|error| format!("{error:#}"));
        let _ = writeln!(text, "--- {what}");
        for line in found.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

fn with_deadline(kubectl: &mut Command) -> &mut Command {
    kubectl.arg("--request-timeout=10s")
}
