//! What the image of languages is made of: Python and Node.js as Debian has them, and a Java runtime linked from Debian's JDK.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{cache, command};

use super::{debian, mirror};

/// `default-jdk-headless` needs the version which the suite has; its compiler and linker do not go into the image.
const PACKAGES: &str = "python3,nodejs,default-jdk-headless";
/// What is made of the JDK, and of Python's library. Run in the tree, which is not set up but only unpacked.
///
/// The archive of class data is what makes a JVM start in a third of the time; sources are compiled so that Python starts as fast although an
/// image's files have no times.
const PREPARE: &str = "set -e
/usr/lib/jvm/default-java/bin/jlink --add-modules java.base --strip-java-debug-attributes --no-header-files --no-man-pages \
    --generate-cds-archive --output /opt/java
find /opt/java -name '*.debuginfo' -delete
python3 -m compileall -q --invalidation-mode unchecked-hash -x 'test|idlelib|ensurepip|lib2to3' /usr/lib/python3.*
";
/// The part of the tree that only the JDK needs: three quarters of it.
const JDK: &str = "usr/lib/jvm";

/// A tree of these languages.
#[derive(Debug, Clone)]
pub struct Languages {
    /// Its root; it must not be written to.
    pub root: PathBuf,
    /// The classes that were compiled.
    pub classes: PathBuf,
}

/// The tree, with this source of Java compiled by its JDK. Less than a minute the first time: packages are unpacked, not set up.
pub fn ensure(java: &Path) -> Result<Languages> {
    let source = std::fs::read(java).with_context(|| format!("read {}", java.display()))?;
    let inputs = [
        debian::SUITE.as_bytes(),
        PACKAGES.as_bytes(),
        PREPARE.as_bytes(),
        std::env::consts::ARCH.as_bytes(),
        &source,
    ];
    let entry = cache::ensure("languages", &inputs, |dir| {
        let root = dir.join("root");
        unpack(dir, &root)?;
        std::fs::create_dir_all(root.join("classes"))?;
        std::fs::copy(java, root.join("classes/Rows.java"))?;
        let script = format!(
            "{PREPARE}cd /classes\n/usr/lib/jvm/default-java/bin/javac -d /classes Rows.java\nrm Rows.java\n"
        );
        // The linker wants to know about its own process.
        command::logged(
            command::contained("sh")
                .arg("-ec")
                .arg("mount -t proc proc \"$0/proc\"; exec chroot \"$0\" /bin/sh -c \"$1\"")
                .arg(&root)
                .arg(&script),
            &dir.join("prepare.log"),
        )?;
        std::fs::rename(root.join("classes"), dir.join("classes"))?;
        std::fs::remove_dir_all(root.join(JDK))?;
        Ok(())
    })?;
    cache::prune("languages", 1)?;
    Ok(Languages {
        root: entry.join("root"),
        classes: entry.join("classes"),
    })
}

/// Every package that is needed, unpacked over one another into `root`.
fn unpack(dir: &Path, root: &Path) -> Result<()> {
    let fetched = dir.join("fetched");
    command::logged(
        command::contained("debootstrap")
            .args(["--download-only", "--variant=minbase"])
            .arg(format!("--include={PACKAGES}"))
            .arg(debian::SUITE)
            .arg(&fetched)
            .arg(mirror::address()?),
        &dir.join("log"),
    )?;
    let mut packages = Vec::new();
    for archive in std::fs::read_dir(fetched.join("var/cache/apt/archives"))? {
        let path = archive?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push(path);
        }
    }
    // First the one that makes /bin, /lib and so on links into /usr.
    packages.sort_by_key(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (!name.starts_with("base-files_"), name)
    });
    std::fs::create_dir_all(root)?;
    for package in packages {
        command::output(
            command::bound("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(root),
        )?;
    }
    std::fs::remove_dir_all(fetched)?;
    Ok(())
}
