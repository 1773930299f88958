//! A process that is frozen all the while.

use std::time::Duration;

use super::stage::{Stage, wait};

/// A control group that is removed again.
struct Frozen(std::path::PathBuf, &'static str, [&'static str; 2]);

impl Frozen {
    fn new(pid: u32) -> Self {
        let v1 = std::path::Path::new("/sys/fs/cgroup/freezer");
        let name = format!("gwt-pages-{}", std::process::id());
        let this = if v1.exists() {
            Self(v1.join(name), "freezer.state", ["THAWED", "FROZEN"])
        } else {
            Self(
                std::path::Path::new("/sys/fs/cgroup").join(name),
                "cgroup.freeze",
                ["0", "1"],
            )
        };
        std::fs::create_dir(&this.0).unwrap();
        std::fs::write(this.0.join("cgroup.procs"), pid.to_string()).unwrap();
        this
    }

    fn set(&self, frozen: bool) {
        std::fs::write(self.0.join(self.1), self.2[usize::from(frozen)]).unwrap();
        let state = self.0.join(if self.1 == "freezer.state" {
            self.1
        } else {
            "cgroup.events"
        });
        let wanted = if self.1 == "freezer.state" {
            self.2[usize::from(frozen)].to_owned()
        } else {
            format!("frozen {}", self.2[usize::from(frozen)])
        };
        wait("the freezer", || {
            std::fs::read_to_string(&state)
                .unwrap()
                .contains(&wanted)
                .then_some(())
        });
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join(self.1), self.2[0]);
        for _ in 0..500 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub fn frozen() {
    let mut stage = Stage::new();
    let mut app = stage.app(1, 16_384);
    let group = Frozen::new(app.child.id());
    let mut server = stage.connect();
    server.hand_over(&mut app);
    app.ask("register");
    group.set(true);
    server.finish();
    server.done();
    group.set(false);
    app.ask("verify");
    app.kill();
}
