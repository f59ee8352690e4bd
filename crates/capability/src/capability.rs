//! The names and numbers of capabilities.

use std::fmt;
use std::str::FromStr;

/// One capability: a bit number below 64. Numbers that this program has no name for stay usable, because a
/// newer kernel may know them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

/// A text that is neither a capability's name nor its number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability \"{}\"", .0.escape_debug())]
pub struct UnknownCapability(pub String);

macro_rules! catalogue {
    ($($constant:ident = $number:literal,)*) => {
        impl Capability {
            $(#[doc = concat!("`CAP_", stringify!($constant), "` of capabilities(7).")]
            pub const $constant: Self = Self($number);)*

            /// Every capability that has a name, by number.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];
        }

        const NAMES: &[&str] = &[$(concat!("CAP_", stringify!($constant))),*];
    };
}

// include/uapi/linux/capability.h
catalogue! {
    CHOWN = 0,
    DAC_OVERRIDE = 1,
    DAC_READ_SEARCH = 2,
    FOWNER = 3,
    FSETID = 4,
    KILL = 5,
    SETGID = 6,
    SETUID = 7,
    SETPCAP = 8,
    LINUX_IMMUTABLE = 9,
    NET_BIND_SERVICE = 10,
    NET_BROADCAST = 11,
    NET_ADMIN = 12,
    NET_RAW = 13,
    IPC_LOCK = 14,
    IPC_OWNER = 15,
    SYS_MODULE = 16,
    SYS_RAWIO = 17,
    SYS_CHROOT = 18,
    SYS_PTRACE = 19,
    SYS_PACCT = 20,
    SYS_ADMIN = 21,
    SYS_BOOT = 22,
    SYS_NICE = 23,
    SYS_RESOURCE = 24,
    SYS_TIME = 25,
    SYS_TTY_CONFIG = 26,
    MKNOD = 27,
    LEASE = 28,
    AUDIT_WRITE = 29,
    AUDIT_CONTROL = 30,
    SETFCAP = 31,
    MAC_OVERRIDE = 32,
    MAC_ADMIN = 33,
    SYSLOG = 34,
    WAKE_ALARM = 35,
    BLOCK_SUSPEND = 36,
    AUDIT_READ = 37,
    PERFMON = 38,
    BPF = 39,
    CHECKPOINT_RESTORE = 40,
}

impl Capability {
    /// The capability with this number, if a set has room for it (below 64).
    pub fn from_number(number: u8) -> Option<Self> {
        (number < 64).then_some(Self(number))
    }

    /// The bit number, as in linux/capability.h.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The name with its prefix, in capitals; none for a number without a name.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::from(self.0)).copied()
    }
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Takes `CAP_SYS_ADMIN`, `sys_admin` or `21`; case does not count.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("cap_") => &text[4..],
            _ => text,
        };
        let named = NAMES.iter().position(|name| name[4..].eq_ignore_ascii_case(bare));
        let number = match named {
            Some(position) => u8::try_from(position).ok(),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        number.and_then(Self::from_number).ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.pad(name),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, capability) in Capability::ALL.iter().enumerate() {
            assert_eq!(usize::from(capability.number()), position);
        }
        assert_eq!(Capability::ALL.len(), 41);
    }

    #[test]
    fn names_parse_with_and_without_prefix_in_any_case() {
        for text in ["CAP_SYS_ADMIN", "cap_sys_admin", "sys_admin", "Sys_Admin", "21"] {
            assert_eq!(text.parse(), Ok(Capability::SYS_ADMIN), "{text}");
        }
        assert_eq!("63".parse::<Capability>().unwrap().to_string(), "63");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "CAP_", "cap_21", "64", "-1", "+1", "CAP_SYS_ADMIN ", "ä", "capé", "99999999999999999999"]
        {
            assert_eq!(text.parse::<Capability>(), Err(UnknownCapability(text.to_owned())), "{text}");
        }
    }
}
