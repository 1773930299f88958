//! Visiting every file of a source, parents first, by descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::beneath;
use crate::error::{Error, Result, shown};
use crate::limit;
use crate::listing;
use crate::meta::Meta;
use crate::overlay;
use crate::source::Source;

/// Through what a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The layer (or plain tree) itself.
    Layer,
    /// The merged mount: below a directory whose lower part lies under another name (`redirect_dir`), where the layer alone does not tell.
    Merged,
}

/// How to go on below a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descent {
    pub view: View,
    /// What the target had below was removed, or never was there.
    pub fresh: bool,
}

/// One file.
pub(crate) struct Found<'a> {
    /// Relative to the root; empty for the root.
    pub path: &'a [u8],
    /// Where it lies; the file itself if `name` is empty.
    pub dir: BorrowedFd<'a>,
    pub name: &'a [u8],
    pub meta: Meta,
    pub view: View,
    /// Inherited from [`Descent::fresh`].
    pub fresh: bool,
}

/// Takes the files of a walk.
pub(crate) trait Visitor {
    /// Takes one file; for a directory tells how to go on below it (`None`: not at all).
    fn visit(&mut self, found: &Found<'_>) -> Result<Option<Descent>>;
    /// Something could not be read any more: an error, or nothing to care about?
    fn lost(&mut self, error: Error) -> Result<()>;
    /// A mount point was left out.
    fn behind_mount(&mut self);
}

/// Walks `source`.
pub(crate) fn walk(source: &Source, visitor: &mut impl Visitor) -> Result<()> {
    let meta = Meta::at(source.root(), b"").map_err(|e| Error::read("inspect", b"", e))?;
    let root = Found {
        path: b"",
        dir: source.root(),
        name: b"",
        meta,
        view: View::Layer,
        fresh: false,
    };
    let mut pending = Vec::new();
    if let Some(descent) = visitor.visit(&root)? {
        pending.push((Vec::new(), descent));
    }
    while let Some((path, descent)) = pending.pop() {
        let (dir, layer) = match open(source, &path, descent.view) {
            Ok(opened) => opened,
            Err(error) => {
                visitor.lost(error)?;
                continue;
            }
        };
        let names = listing::names(&dir).map_err(|e| Error::read("list", &path, e));
        let names = match names {
            Ok(names) => names,
            Err(error) => {
                visitor.lost(error)?;
                continue;
            }
        };
        let first = pending.len();
        for name in names {
            let child = beneath::join(&path, &name);
            if source.excludes(&child) {
                continue;
            }
            if child.len() > limit::PATH {
                return Err(Error::TooBig {
                    what: "the path",
                    path: shown(&child),
                    limit: limit::PATH as u64,
                });
            }
            let located = locate(
                source,
                dir.as_fd(),
                layer.as_ref().map(AsFd::as_fd),
                &name,
                descent.view,
            );
            let (at, meta, view) = match located.map_err(|e| Error::read("inspect", &child, e)) {
                Ok(located) => located,
                Err(error) => {
                    visitor.lost(error)?;
                    continue;
                }
            };
            if meta.mounted_on {
                visitor.behind_mount();
                continue;
            }
            let found = Found {
                path: &child,
                dir: at,
                name: &name,
                meta,
                view,
                fresh: descent.fresh,
            };
            match visitor.visit(&found) {
                Ok(None) => {}
                Ok(Some(descent)) => pending.push((child, descent)),
                Err(error) => visitor.lost(error)?,
            }
        }
        // The stack gives the last first; in order, the stream of a tree is the same every time.
        pending[first..].reverse();
    }
    Ok(())
}

/// Opens a directory in its view; in the merged view, also what the layer holds at the same path.
pub(crate) fn open(source: &Source, path: &[u8], view: View) -> Result<(OwnedFd, Option<OwnedFd>)> {
    let failed = |e| Error::read("open", path, e);
    match view {
        View::Layer => Ok((beneath::dir(source.root(), path).map_err(failed)?, None)),
        View::Merged => {
            let merged = beneath::dir(source.merged(path)?, path).map_err(failed)?;
            Ok((merged, beneath::dir(source.root(), path).ok()))
        }
    }
}

/// Where to read `name`: in the merged view, what the layer holds whole is read there, since only there inode numbers are those that hard links share.
pub(crate) fn locate<'a>(
    source: &Source,
    dir: BorrowedFd<'a>,
    layer: Option<BorrowedFd<'a>>,
    name: &[u8],
    view: View,
) -> rustix::io::Result<(BorrowedFd<'a>, Meta, View)> {
    if let (View::Merged, Some(layer), Some(marks)) = (view, layer, source.marks())
        && let Ok(meta) = Meta::at(layer, name)
        && !meta.is_dir()
        && !overlay::is_whiteout(&meta)
    {
        let (_, found) = overlay::part(marks, crate::attributes::read(layer, name)?);
        if !found.metacopy && !found.whiteout {
            return Ok((layer, meta, View::Layer));
        }
    }
    Ok((dir, Meta::at(dir, name)?, view))
}
