//! The architectures that a profile can name, as the kernel's `seccomp_data` shows them.

use std::fmt;

/// The ABI of a system call.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64N32,
    MipsEl,
    MipsEl64,
    MipsEl64N32,
    Ppc,
    Ppc64,
    Ppc64Le,
    S390,
    S390X,
    Parisc,
    Parisc64,
    Riscv64,
    Loongarch64,
    M68k,
    Sh,
    ShEb,
}

/// Byte order, which decides where the two halves of an argument lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The low half first.
    Little,
    /// The high half first.
    Big,
}

/// Set in the number of every x32 call; the audit value is that of x86_64.
pub(crate) const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// Flags of `AUDIT_ARCH_…` beside the ELF machine, linux/audit.h.
const AUDIT_64BIT: u32 = 0x8000_0000;
const AUDIT_LE: u32 = 0x4000_0000;
const AUDIT_N32: u32 = 0x2000_0000;

impl Architecture {
    /// Every architecture, in the order of the specification.
    pub const ALL: [Self; 23] = [
        Self::X86,
        Self::X86_64,
        Self::X32,
        Self::Arm,
        Self::Aarch64,
        Self::Mips,
        Self::Mips64,
        Self::Mips64N32,
        Self::MipsEl,
        Self::MipsEl64,
        Self::MipsEl64N32,
        Self::Ppc,
        Self::Ppc64,
        Self::Ppc64Le,
        Self::S390,
        Self::S390X,
        Self::Parisc,
        Self::Parisc64,
        Self::Riscv64,
        Self::Loongarch64,
        Self::M68k,
        Self::Sh,
        Self::ShEb,
    ];

    /// The architecture that this program was built for; `None` where seccomp has no name for it.
    pub const fn native() -> Option<Self> {
        Some(if cfg!(all(target_arch = "x86_64", target_pointer_width = "32")) {
            Self::X32
        } else if cfg!(target_arch = "x86_64") {
            Self::X86_64
        } else if cfg!(target_arch = "x86") {
            Self::X86
        } else if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "arm") {
            Self::Arm
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else if cfg!(target_arch = "s390x") {
            Self::S390X
        } else if cfg!(target_arch = "loongarch64") {
            Self::Loongarch64
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            Self::Ppc64Le
        } else if cfg!(target_arch = "powerpc64") {
            Self::Ppc64
        } else {
            return None;
        })
    }

    /// The architecture of a name in a profile (`SCMP_ARCH_X86_64`).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.name() == name)
    }

    /// The name in a profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86 => "SCMP_ARCH_X86",
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Arm => "SCMP_ARCH_ARM",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Mips => "SCMP_ARCH_MIPS",
            Self::Mips64 => "SCMP_ARCH_MIPS64",
            Self::Mips64N32 => "SCMP_ARCH_MIPS64N32",
            Self::MipsEl => "SCMP_ARCH_MIPSEL",
            Self::MipsEl64 => "SCMP_ARCH_MIPSEL64",
            Self::MipsEl64N32 => "SCMP_ARCH_MIPSEL64N32",
            Self::Ppc => "SCMP_ARCH_PPC",
            Self::Ppc64 => "SCMP_ARCH_PPC64",
            Self::Ppc64Le => "SCMP_ARCH_PPC64LE",
            Self::S390 => "SCMP_ARCH_S390",
            Self::S390X => "SCMP_ARCH_S390X",
            Self::Parisc => "SCMP_ARCH_PARISC",
            Self::Parisc64 => "SCMP_ARCH_PARISC64",
            Self::Riscv64 => "SCMP_ARCH_RISCV64",
            Self::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
            Self::M68k => "SCMP_ARCH_M68K",
            Self::Sh => "SCMP_ARCH_SH",
            Self::ShEb => "SCMP_ARCH_SHEB",
        }
    }

    /// The value of `seccomp_data.arch`: `AUDIT_ARCH_…`, made of the ELF machine and flags.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86 => 3 | AUDIT_LE,
            Self::X86_64 | Self::X32 => 62 | AUDIT_64BIT | AUDIT_LE,
            Self::Arm => 40 | AUDIT_LE,
            Self::Aarch64 => 183 | AUDIT_64BIT | AUDIT_LE,
            Self::Mips => 8,
            Self::Mips64 => 8 | AUDIT_64BIT,
            Self::Mips64N32 => 8 | AUDIT_64BIT | AUDIT_N32,
            Self::MipsEl => 8 | AUDIT_LE,
            Self::MipsEl64 => 8 | AUDIT_64BIT | AUDIT_LE,
            Self::MipsEl64N32 => 8 | AUDIT_64BIT | AUDIT_LE | AUDIT_N32,
            Self::Ppc => 20,
            Self::Ppc64 => 21 | AUDIT_64BIT,
            Self::Ppc64Le => 21 | AUDIT_64BIT | AUDIT_LE,
            Self::S390 => 22,
            Self::S390X => 22 | AUDIT_64BIT,
            Self::Parisc => 15,
            Self::Parisc64 => 15 | AUDIT_64BIT,
            Self::Riscv64 => 243 | AUDIT_64BIT | AUDIT_LE,
            Self::Loongarch64 => 258 | AUDIT_64BIT | AUDIT_LE,
            Self::M68k => 4,
            Self::Sh => 42 | AUDIT_LE,
            Self::ShEb => 42,
        }
    }

    /// The byte order of `seccomp_data`.
    pub const fn byte_order(self) -> ByteOrder {
        if self.audit() & AUDIT_LE == 0 { ByteOrder::Big } else { ByteOrder::Little }
    }

    /// Whether arguments are 64 bits wide. Of the others only the low half is compared.
    pub const fn has_wide_arguments(self) -> bool {
        self.audit() & AUDIT_64BIT != 0 && !matches!(self, Self::X32 | Self::Mips64N32 | Self::MipsEl64N32)
    }

    /// The column of the catalogue.
    pub(crate) const fn column(self) -> usize {
        match self {
            Self::X86 => 0,
            Self::X86_64 => 1,
            Self::X32 => 2,
            Self::Arm => 3,
            Self::Aarch64 => 4,
            Self::Loongarch64 => 5,
            Self::M68k => 6,
            Self::Mips | Self::MipsEl => 7,
            Self::Mips64 | Self::MipsEl64 => 8,
            Self::Mips64N32 | Self::MipsEl64N32 => 9,
            Self::Parisc => 10,
            Self::Parisc64 => 11,
            Self::Ppc => 12,
            Self::Ppc64 | Self::Ppc64Le => 13,
            Self::Riscv64 => 14,
            Self::S390 => 15,
            Self::S390X => 16,
            Self::Sh | Self::ShEb => 17,
        }
    }

    /// Whether socketcall(2) and ipc(2) stand for the calls of their families.
    pub(crate) const fn multiplexes(self) -> bool {
        matches!(
            self,
            Self::X86
                | Self::M68k
                | Self::Mips
                | Self::MipsEl
                | Self::Ppc
                | Self::Ppc64
                | Self::Ppc64Le
                | Self::S390
                | Self::S390X
                | Self::Sh
                | Self::ShEb
        )
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for architecture in Architecture::ALL {
            assert_eq!(Architecture::from_name(architecture.name()), Some(architecture));
        }
        assert_eq!(Architecture::from_name("SCMP_ARCH_VAX"), None);
    }

    #[test]
    fn audit_values_are_those_of_the_headers() {
        assert_eq!(Architecture::X86_64.audit(), 0xc000_003e);
        assert_eq!(Architecture::X86.audit(), 0x4000_0003);
        assert_eq!(Architecture::Aarch64.audit(), 0xc000_00b7);
        assert_eq!(Architecture::S390X.audit(), 0x8000_0016);
        assert_eq!(Architecture::MipsEl64N32.audit(), 0xe000_0008);
    }
}
