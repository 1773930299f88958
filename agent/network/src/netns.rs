//! A network namespace, and work done inside it.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::oneshot;

use crate::Error;

/// Time limit of one visit to a namespace. Netlink answers within microseconds; a busy node is allowed its time.
const VISIT: Duration = Duration::from_secs(10);

/// An open network namespace. It stays alive, though perhaps without interfaces, as long as this handle does.
#[derive(Clone)]
pub struct Netns {
    file: Arc<File>,
    name: Arc<str>,
}

impl fmt::Debug for Netns {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Netns({})", self.name)
    }
}

impl Netns {
    /// Opens a namespace by a path such as `/run/netns/NAME` or `/proc/PID/ns/net`. Fails with [`Error::Netns`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(Self {
                file: Arc::new(file),
                name: name.into(),
            }),
            Err(source) => Err(Error::Netns { netns: name, source }),
        }
    }

    /// The namespace of a process, by its pid as this process sees it.
    pub fn of_pid(pid: u32) -> Result<Self, Error> {
        Self::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The caller's own namespace: the node's, for an agent with `hostNetwork`.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// A new one, in which nobody else is; it ends with this handle and what is open in it.
    pub(crate) fn unshared() -> Result<Self, Error> {
        let failed = |source| Error::kernel("making a network namespace", source);
        // On a thread of its own, which must never be reused.
        let made = std::thread::Builder::new()
            .name("netns".into())
            .spawn(move || {
                unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
                Self::current()
            })
            .map_err(failed)?;
        made.join()
            .unwrap_or_else(|_| Err(Error::Malformed("the answer of a namespace thread".into())))
    }

    /// Runs `work` on a thread of its own inside the namespace and waits for it, blocking. Sockets that it makes stay
    /// in the namespace. A thread is used up because a thread that failed to leave a namespace must never be reused.
    pub fn visit<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send,
        F: FnOnce() -> Result<T, Error> + Send,
    {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter()?;
                    work()
                })
                .join()
                .unwrap_or_else(|_| Err(Error::Malformed("the answer of a namespace thread".into())))
        })
    }

    /// Like [`Netns::visit`], without blocking the caller; [`Error::Deadline`] after ten seconds.
    pub async fn run<T, F>(&self, what: &str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Error> + Send + 'static,
    {
        let (answer, waiting) = oneshot::channel();
        let inside = self.clone();
        std::thread::Builder::new()
            .name("netns".into())
            .spawn(move || {
                // The receiver is gone if the caller stopped waiting; there is nobody to tell then.
                drop(answer.send(inside.enter().and_then(|()| work())));
            })
            .map_err(|source| Error::kernel("starting a thread", source))?;
        match tokio::time::timeout(VISIT, waiting).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Malformed(format!("the answer of a thread: {what}"))),
            Err(_) => Err(Error::Deadline {
                what: what.into(),
                limit: VISIT,
            }),
        }
    }

    /// Runs `work` with an rtnetlink connection of the namespace, on a runtime of its own.
    pub(crate) async fn route<T, F, Fut>(&self, what: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(rtnetlink::Handle) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.run(what, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|source| Error::kernel("starting a runtime", source))?;
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()
                    .map_err(|source| Error::kernel("opening rtnetlink", source))?;
                let serving = tokio::spawn(connection);
                let result = tokio::time::timeout(VISIT, work(handle)).await;
                serving.abort();
                result.unwrap_or_else(|_| {
                    Err(Error::Deadline {
                        what: what.into(),
                        limit: VISIT,
                    })
                })
            })
        })
        .await
    }

    fn enter(&self) -> Result<(), Error> {
        setns(&*self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::Netns {
            netns: self.name.to_string(),
            source: errno.into(),
        })
    }
}
