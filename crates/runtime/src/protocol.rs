//! What the runtime (parent) and the container's first process (init) say to each other while one makes the other.
//!
//! One `SOCK_SEQPACKET` pair, a message a packet, plain read(2) and write(2) on both sides: init may run under a
//! seccomp filter that allows little more.
//!
//! ```text
//! parent                                        init
//!   | clone3 ------------------------------------>|
//!   | id maps, cgroup, network devices            |   (only where the plan has Step::AwaitParent)
//!   |------------------ Go ---------------------->|   namespaces, mounts, devices
//!   |<----------------- Source(mount's place) ----|   (only where a bind's source is itself mounted by init)
//!   | open the tree within init's mounts          |
//!   |------------------ Go and the tree --------->|
//!   |<----------------- Hooks --------------------|   (only where there are hooks)
//!   | prestart and createRuntime hooks            |
//!   |------------------ Go ---------------------->|   createContainer hooks, pivot_root, credentials
//!   |<----------------- Notify(fd number) --------|   (only where seccomp has a listener)
//!   | pidfd_getfd, hand over to the listener      |
//!   |------------------ Go ---------------------->|
//!   |<----------------- Ready --------------------|   all is there but the program
//!   | state.json, pid file                        |
//!   |------------------ Go ---------------------->|   exec at once (run), or wait for the start FIFO (create)
//!   |<----------------- Failed / end of file -----|   what went wrong / the program runs
//! ```
//! Init takes end of file for the parent's death and ends itself: a runtime killed half-way leaves no process.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, socketpair,
};

use crate::failure::Failure;

/// What init says.
#[derive(Debug, PartialEq, Eq)]
pub enum FromInit {
    /// Mounts are made: run the hooks that see them from outside.
    Hooks,
    /// The seccomp filter's listener is this descriptor of mine.
    Notify(i32),
    /// Open the source of this mount for me.
    Source(usize),
    /// Only the program is missing.
    Ready,
    /// It ends, for this reason.
    Failed(Failure),
}

/// Init's end, with the number of the parent's, which a clone has too.
#[derive(Debug)]
pub struct InitEnd(OwnedFd, Option<RawFd>);

/// The parent's end.
#[derive(Debug)]
pub struct ParentEnd(OwnedFd);

const GO: u8 = b'G';
/// A failure's text is cut so that it fits a packet.
const PACKET: usize = 16 << 10;

/// Both ends; each process drops the other's.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair() -> io::Result<(ParentEnd, InitEnd)> {
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let number = a.as_raw_fd();
    Ok((ParentEnd(a), InitEnd(b, Some(number))))
}

impl InitEnd {
    /// In a new process: closes its copy of the parent's end. With that open the parent's death would not be heard of, and
    /// what holds the parent's lock would wait for ever.
    pub fn leave_parent(&mut self) {
        // That it is gone already is as good.
        self.1.take().map(sys::process::adopt_inherited).and_then(Result::ok);
    }

    /// Sends `message` and, unless it was the last, waits for the parent's word.
    ///
    /// # Errors
    /// `UnexpectedEof` where the parent is gone.
    pub fn ask(&self, message: &FromInit) -> io::Result<()> {
        self.say(message)?;
        self.await_go()
    }

    /// Sends `message`.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn say(&self, message: &FromInit) -> io::Result<()> {
        let mut packet = Vec::with_capacity(8);
        match message {
            FromInit::Hooks => packet.push(b'H'),
            FromInit::Notify(fd) => {
                packet.push(b'N');
                packet.extend(fd.to_ne_bytes());
            }
            FromInit::Source(index) => {
                packet.push(b'S');
                packet.extend(index.to_ne_bytes());
            }
            FromInit::Ready => packet.push(b'R'),
            FromInit::Failed(failure) => {
                packet.push(b'F');
                packet.extend(encode(failure));
            }
        }
        rustix::io::retry_on_intr(|| rustix::io::write(&self.0, &packet))?;
        Ok(())
    }

    /// Asks for the source of a mount, which comes with the parent's word to go on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the parent is gone.
    pub fn ask_tree(&self, index: usize) -> io::Result<OwnedFd> {
        self.say(&FromInit::Source(index))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut word = [0; 1];
        let mut buffer = [IoSliceMut::new(&mut word)];
        rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&self.0, &mut buffer, &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        let tree = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        tree.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits for the parent's word to go on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the parent is gone.
    pub fn await_go(&self) -> io::Result<()> {
        let mut word = [0; 1];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut word))? {
            1 if word[0] == GO => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl ParentEnd {
    /// Lets init go on.
    ///
    /// # Errors
    /// Those of write(2); `EPIPE` where init is gone.
    pub fn go(&self) -> io::Result<()> {
        // MSG_NOSIGNAL: an init that died must not take the runtime with it.
        rustix::net::send(&self.0, &[GO], SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Lets init go on with what it asked for.
    ///
    /// # Errors
    /// Those of sendmsg(2); `EPIPE` where init is gone.
    pub fn give(&self, tree: impl AsFd) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [tree.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&[GO])], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; none where init closed its end, by exec or by its end.
    ///
    /// # Errors
    /// Those of read(2), `InvalidData` for what is no message.
    pub fn next(&self) -> io::Result<Option<FromInit>> {
        let mut packet = vec![0; PACKET];
        let n = match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut packet)) {
            Err(rustix::io::Errno::CONNRESET) => 0,
            other => other?,
        };
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        Ok(Some(match packet[..n] {
            [] => return Ok(None),
            [b'H'] => FromInit::Hooks,
            [b'R'] => FromInit::Ready,
            [b'N', ref fd @ ..] => {
                FromInit::Notify(i32::from_ne_bytes(fd.try_into().map_err(|_| invalid())?))
            }
            [b'S', ref index @ ..] => {
                FromInit::Source(usize::from_ne_bytes(index.try_into().map_err(|_| invalid())?))
            }
            [b'F', ref json @ ..] => FromInit::Failed(serde_json::from_slice(json).map_err(|_| invalid())?),
            _ => return Err(invalid()),
        }))
    }
}

fn encode(failure: &Failure) -> Vec<u8> {
    let json = serde_json::to_vec(failure).unwrap_or_default();
    if json.len() < PACKET {
        return json;
    }
    let cut = |text: &str| text.chars().take(1024).collect::<String>();
    let short = Failure { object: cut(&failure.object), detail: cut(&failure.detail), ..failure.clone() };
    serde_json::to_vec(&short).unwrap_or_default()
}

impl AsFd for ParentEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for InitEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (parent, init) = pair().unwrap();
        let failed = FromInit::Failed(Failure::new("mount", "/x", rustix::io::Errno::BUSY));
        for message in [FromInit::Hooks, FromInit::Notify(7), FromInit::Source(9), FromInit::Ready, failed] {
            init.say(&message).unwrap();
            assert_eq!(parent.next().unwrap(), Some(message));
        }
        parent.go().unwrap();
        init.await_go().unwrap();
    }

    #[test]
    fn a_tree_comes_with_the_word_to_go_on() {
        let (parent, init) = pair().unwrap();
        let file = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).unwrap();
        let tree = OwnedFd::from(std::fs::File::open("/").unwrap());
        parent.give(&tree).unwrap();
        assert_eq!(file(&init.ask_tree(3).unwrap()), file(&tree));
        assert_eq!(parent.next().unwrap(), Some(FromInit::Source(3)));
        parent.go().unwrap();
        assert_eq!(init.ask_tree(3).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_end_that_is_gone_is_noticed_on_both_sides() {
        let (parent, init) = pair().unwrap();
        drop(init);
        assert_eq!(parent.next().unwrap(), None);
        assert!(parent.go().is_err());
        let (parent, init) = pair().unwrap();
        drop(parent);
        assert_eq!(init.await_go().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_failure_of_any_length_fits_a_packet() {
        let (parent, init) = pair().unwrap();
        let long = Failure::because("exec", "x".repeat(100_000), "é".repeat(100_000));
        init.say(&FromInit::Failed(long)).unwrap();
        let Some(FromInit::Failed(short)) = parent.next().unwrap() else { panic!("no failure") };
        assert_eq!(short.operation, "exec");
    }
}
