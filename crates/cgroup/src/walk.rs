//! Visits a group and all groups below it.
//!
//! A container that may write to its cgroup mount decides how deep and wide the tree is. So the walk holds
//! one descriptor, however deep it goes, and does not recurse.

use std::ffi::OsString;

use crate::Error;
use crate::dir::Dir;

/// Calls `visit` for `top` and all directories below it, then `leave` with the directory above and the name
/// of each one below `top`, children before their parents. Directories that vanish meanwhile are skipped.
pub(crate) fn walk(
    top: Dir,
    mut visit: impl FnMut(&Dir) -> Result<(), Error>,
    mut leave: impl FnMut(&Dir, &OsString) -> Result<(), Error>,
) -> Result<(), Error> {
    // The way down: the name of each directory entered, and those beside it that are still to do.
    let mut way: Vec<(OsString, Vec<OsString>)> = Vec::new();
    let mut here = top;
    let mut siblings = enter(&here, &mut visit)?;
    loop {
        if let Some(name) = siblings.pop() {
            match here.open(&name) {
                Ok(child) => {
                    here = child;
                    let below = enter(&here, &mut visit)?;
                    way.push((name, std::mem::replace(&mut siblings, below)));
                }
                Err(e) if e.is_gone() => {}
                Err(e) => return Err(e),
            }
        } else if let Some((name, beside)) = way.pop() {
            // No link can be in the way: `..` of a directory in cgroupfs is its parent.
            here = here.parent()?;
            leave(&here, &name)?;
            siblings = beside;
        } else {
            return Ok(());
        }
    }
}

fn enter(dir: &Dir, visit: &mut impl FnMut(&Dir) -> Result<(), Error>) -> Result<Vec<OsString>, Error> {
    match visit(dir).and_then(|()| dir.children()) {
        Err(e) if e.is_gone() => Ok(Vec::new()),
        children => children,
    }
}
