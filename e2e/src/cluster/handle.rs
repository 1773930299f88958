//! The running cluster, for tests, benchmarks and the demo.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::{paths, recipes};

use super::spawn;
use super::start::{self, Outcome};
use super::state::{NodeState, State};

/// A cluster that is up.
#[derive(Debug, Clone)]
pub struct Cluster {
    state: State,
}

/// One of its nodes.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    state: &'a NodeState,
}

impl Cluster {
    /// The cluster, brought up with `count` nodes if none is up. Fails if one of another size is, or if it does not
    /// start.
    pub fn ensure(count: u8) -> Result<Self> {
        Self::start(count).map(|(cluster, _)| cluster)
    }

    /// The same, saying which of the two happened.
    pub fn start(count: u8) -> Result<(Self, Outcome)> {
        let outcome = start::up(count, &program()?)?;
        Ok((Self::running()?, outcome))
    }

    /// The cluster that is up. Fails if none is.
    pub fn running() -> Result<Self> {
        match State::read()? {
            Some(state) if state.alive() => Ok(Self { state }),
            Some(_) => bail!("the cluster is broken: start it anew (`cargo e2e up`)"),
            None => bail!("no cluster is up (`cargo e2e up`)"),
        }
    }

    /// A client with all rights. It belongs to the runtime it is made in.
    pub async fn client(&self) -> Result<Client> {
        client(&paths::kubeconfig()).await
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        paths::kubeconfig()
    }

    /// What is known about its processes.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.state.nodes.iter().map(|state| Node { state })
    }

    /// The node called `name` (`n1`, …). Fails if there is none.
    pub fn node(&self, name: &str) -> Result<Node<'_>> {
        self.nodes().find(|node| node.name() == name).with_context(|| {
            let names: Vec<_> = self.nodes().map(|node| node.name().to_owned()).collect();
            format!("no node is called {name}; there are {}", names.join(", "))
        })
    }

    /// `kubectl` with this cluster's kubeconfig, ready to be given arguments.
    pub fn kubectl(&self) -> Result<Command> {
        let mut command = Command::new(recipes::hyperkube::ensure()?.join("kubectl"));
        command.env("KUBECONFIG", paths::kubeconfig());
        Ok(command)
    }

    /// Import an OCI image archive on every node, on all at once. Fails if any node refuses it.
    pub fn load(&self, archive: &Path) -> Result<()> {
        std::thread::scope(|scope| {
            let imports: Vec<_> = self
                .nodes()
                .map(|node| scope.spawn(move || node.load(archive)))
                .collect();
            for import in imports {
                import
                    .join()
                    .map_err(|_| anyhow::anyhow!("an import panicked"))??;
            }
            Ok(())
        })
    }
}

impl<'a> Node<'a> {
    /// Its name in Kubernetes.
    pub fn name(self) -> &'a str {
        &self.state.name
    }

    /// Its `InternalIP`.
    pub fn address(self) -> Ipv4Addr {
        self.state.address
    }

    /// The host's number of its first process: `/proc/PID/root` is the node's root, `/proc/PID/ns` its namespaces.
    pub fn init_pid(self) -> i32 {
        self.state.init.pid
    }

    /// The host's path of a file of the node.
    pub fn path(self, inner: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init_pid())).join(inner.trim_start_matches('/'))
    }

    /// A command that `start` will run in the node: with a clean environment, as root, in `/`.
    pub fn command(self, program: impl AsRef<OsStr>) -> NodeCommand<'a> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("TERM", std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()));
        NodeCommand { node: self, command }
    }

    /// Run a program in the node and give what it wrote to stdout. Fails, with what it wrote, if it does.
    pub fn exec<S: AsRef<OsStr>>(self, words: impl IntoIterator<Item = S>) -> Result<String> {
        let mut words = words.into_iter();
        let program = words.next().context("no program given")?;
        let name = program.as_ref().to_string_lossy().into_owned();
        let output = self.command(program).args(words).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{name} on {}: {}\n{text}{errors}", self.name(), output.status);
        }
        Ok(text)
    }

    /// The host's numbers of the node's processes whose name (`/proc/PID/comm`, at most 15 bytes) is `name`.
    pub fn pids_of(self, name: &str) -> Vec<i32> {
        let short: String = name.chars().take(15).collect();
        let comm = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        self.state
            .groups
            .processes()
            .into_iter()
            .filter(|&pid| comm(pid).trim_end() == short)
            .collect()
    }

    /// The one process of that name. Fails if there is none, or more than one.
    pub fn pid_of(self, name: &str) -> Result<i32> {
        match self.pids_of(name).as_slice() {
            [pid] => Ok(*pid),
            [] => bail!("no {name} runs on {}", self.name()),
            more => bail!("{} processes called {name} run on {}", more.len(), self.name()),
        }
    }

    /// Do something in the node's network namespace, on a thread of its own.
    pub fn in_network<T: Send>(self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        spawn::in_network(Path::new(&format!("/proc/{}/ns/net", self.init_pid())), work)
    }

    /// Import an OCI image archive of the host.
    pub fn load(self, archive: &Path) -> Result<()> {
        let file = std::fs::File::open(archive).with_context(|| format!("open {}", archive.display()))?;
        let output = self
            .command("ctr")
            .args(["--namespace", "k8s.io", "images", "import", "-"])
            .stdin(file)
            .output()?;
        if !output.status.success() {
            bail!(
                "import {} on {}: {}",
                archive.display(),
                self.name(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }
}

/// A command for a node, built like a [`Command`].
#[derive(Debug)]
pub struct NodeCommand<'a> {
    node: Node<'a>,
    command: Command,
}

impl NodeCommand<'_> {
    /// Add arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Set a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where its input comes from; the caller's by default, nothing for [`NodeCommand::output`].
    #[must_use]
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
        self
    }

    /// Where its output goes.
    #[must_use]
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Where its errors go.
    #[must_use]
    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stderr(to);
        self
    }

    /// Start it. It is the caller's child, whatever namespaces it is in.
    pub fn start(self) -> Result<Child> {
        spawn::spawn_inside(self.command, self.node.init_pid(), &self.node.state.groups)
    }

    /// Run it to its end.
    pub fn status(self) -> Result<ExitStatus> {
        self.start()?.wait().context("wait for a program in a node")
    }

    /// Run it to its end and keep what it writes.
    pub fn output(self) -> Result<Output> {
        self.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .start()?
            .wait_with_output()
            .context("read from a node")
    }
}

pub(super) async fn client(kubeconfig: &Path) -> Result<Client> {
    let text = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(text, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// The path of `e2e`, which nodes run as their first process: this program, or the one beside this test.
fn program() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    if this.file_name().is_some_and(|name| name == "e2e") {
        return Ok(this);
    }
    let found = this
        .ancestors()
        .skip(1)
        .take(3)
        .map(|dir| dir.join("e2e"))
        .find(|path| path.is_file());
    found.context("the program e2e is not built: `cargo build --package godwit-e2e`")
}
