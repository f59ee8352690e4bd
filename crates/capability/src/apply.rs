//! Changing the sets of the calling thread.
//!
//! The order that a container's init follows, because each step needs what the next one takes away:
//! ```text
//! drop_bounding        needs CAP_SETPCAP effective
//! keep_across_setuid   or setuid empties the permitted set
//! setgid, setuid       empties the effective set
//! set_process_sets     effective, permitted, inheritable at once
//! raise_ambient        needs each member permitted and inheritable
//! ```
//! What a thread may not have is left out and returned, so that the caller can warn; an error means that
//! something it should lose could not be taken away.

use std::io;

use rustix::io::Errno;
use rustix::thread;

use crate::sets::kernel_set;
use crate::{CapSet, Capability, Sets};

/// Why the calling thread keeps a capability that it should lose, or why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ApplyError {
    #[error("drop {capability} from the bounding set: {source}; it needs CAP_SETPCAP in the user namespace")]
    DropBounding { capability: Capability, source: io::Error },
    #[error("read the capabilities of the calling thread: {0}")]
    Read(#[source] io::Error),
    #[error("set effective {effective:x}, permitted {permitted:x}, inheritable {inheritable:x}: {source}")]
    SetProcessSets { effective: CapSet, permitted: CapSet, inheritable: CapSet, source: io::Error },
    #[error("clear the ambient set: {0}")]
    ClearAmbient(#[source] io::Error),
    #[error("keep capabilities across a change of user: {0}; the securebits may be locked")]
    Keep(#[source] io::Error),
}

impl Sets {
    /// Gives the calling thread these sets, as far as it may have them; returns what was left out.
    pub fn apply(&self) -> Result<Self, ApplyError> {
        let bounding = drop_bounding(self.bounding)?;
        let refused = set_process_sets(self.effective, self.permitted, self.inheritable)?;
        let ambient = raise_ambient(self.ambient)?;
        Ok(Self { bounding, ambient, ..refused })
    }
}

/// Takes everything but `keep` out of the bounding set; returns the members of `keep` that are not in it.
pub fn drop_bounding(keep: CapSet) -> Result<CapSet, ApplyError> {
    for capability in (!keep).iter() {
        match thread::remove_capability_from_bounding_set(kernel_set(1 << capability.number())) {
            Ok(()) => {}
            // Numbers from here on are none of this kernel's.
            Err(Errno::INVAL) => break,
            Err(_) if bounded(CapSet::from(capability)).is_empty() => {}
            Err(errno) => return Err(ApplyError::DropBounding { capability, source: errno.into() }),
        }
    }
    Ok(keep - bounded(keep))
}

/// Sets the effective, permitted and inheritable sets at once; returns what the kernel would have refused.
pub fn set_process_sets(
    effective: CapSet,
    permitted: CapSet,
    inheritable: CapSet,
) -> Result<Sets, ApplyError> {
    let own = thread::capabilities(None).map_err(|errno| ApplyError::Read(errno.into()))?;
    let [own_effective, own_permitted, own_inheritable] =
        [own.effective, own.permitted, own.inheritable].map(|set| CapSet::from_bits(set.bits()));

    // security/commoncap.c, cap_capset
    let may_permit = permitted & own_permitted;
    let may_effect = effective & may_permit;
    let mut may_inherit = inheritable & (own_inheritable | bounded(inheritable - own_inheritable));
    if !own_effective.contains(Capability::SETPCAP) {
        may_inherit = may_inherit & (own_inheritable | own_permitted);
    }

    let sets = thread::CapabilitySets {
        effective: kernel_set(may_effect.bits()),
        permitted: kernel_set(may_permit.bits()),
        inheritable: kernel_set(may_inherit.bits()),
    };
    thread::set_capabilities(None, sets).map_err(|errno| ApplyError::SetProcessSets {
        effective: may_effect,
        permitted: may_permit,
        inheritable: may_inherit,
        source: errno.into(),
    })?;
    Ok(Sets {
        effective: effective - may_effect,
        permitted: permitted - may_permit,
        inheritable: inheritable - may_inherit,
        ..Sets::default()
    })
}

/// Makes the ambient set this one; returns the members that are not permitted, not inheritable, unknown to
/// the kernel, or forbidden by the securebit `NO_CAP_AMBIENT_RAISE`.
pub fn raise_ambient(set: CapSet) -> Result<CapSet, ApplyError> {
    match thread::clear_ambient_capability_set() {
        Ok(()) => {}
        // Linux before 4.3: there is nothing to clear and nothing to raise.
        Err(Errno::INVAL) => return Ok(set),
        Err(errno) => return Err(ApplyError::ClearAmbient(errno.into())),
    }
    let raise = |capability: &Capability| {
        thread::configure_capability_in_ambient_set(kernel_set(1 << capability.number()), true).is_err()
    };
    Ok(set.iter().filter(raise).collect())
}

/// Whether the next setuid away from root keeps the permitted set. An exec resets it.
pub fn keep_across_setuid(keep: bool) -> Result<(), ApplyError> {
    thread::set_keep_capabilities(keep).map_err(|errno| ApplyError::Keep(errno.into()))
}

/// The members of `set` that are in the calling thread's bounding set.
fn bounded(set: CapSet) -> CapSet {
    let in_bounding = |capability: &Capability| {
        thread::capability_is_in_bounding_set(kernel_set(1 << capability.number())) == Ok(true)
    };
    set.iter().filter(in_bounding).collect()
}
