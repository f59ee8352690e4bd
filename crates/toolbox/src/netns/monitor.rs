//! `netns monitor`: says when names appear and vanish, as ip-netns(8) does.

use std::io;
use std::mem::MaybeUninit;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use super::names::DIRECTORY;
use crate::printable;

/// What became of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    Added(String),
    Deleted(String),
}

/// Calls `tell` for each change until it answers with an error, or for ever.
pub fn watch(mut tell: impl FnMut(Event) -> io::Result<()>) -> io::Result<()> {
    std::fs::create_dir_all(DIRECTORY)?;
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, DIRECTORY, WatchFlags::CREATE | WatchFlags::DELETE)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(watch, &mut buffer);
    loop {
        let event = events.next()?;
        let name = printable(event.file_name().unwrap_or_default().to_bytes());
        if event.events().contains(ReadFlags::CREATE) {
            tell(Event::Added(name))?;
        } else if event.events().contains(ReadFlags::DELETE) {
            tell(Event::Deleted(name))?;
        }
    }
}
