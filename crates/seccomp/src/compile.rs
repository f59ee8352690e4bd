//! From a profile to a filter: pure, and the same on every host.
//!
//! ```text
//! load arch
//! native?  ── load nr ── binary search over ranges of numbers ── return
//! second?  ── load nr ── …                                    └─ conditions on arguments ── return
//! other    ── kill
//! ```
//!
//! Neighbouring numbers with the same verdict are one range, so that the search has few and cheap steps, and
//! the kernel can tell by itself (`seccomp_cache_prepare`, Linux 5.11) which calls are always allowed: it
//! skips the filter for those.

use oci::spec::seccomp::{Seccomp, SeccompAction};
use sys::seccomp::FilterFlags;
use thiserror::Error;

use crate::action;
use crate::architecture::{Architecture, X32_SYSCALL_BIT};
use crate::bpf::{self, MAX_INSTRUCTIONS, Program, ProgramError};
use crate::condition::ConditionWriter;
use crate::graph::{Graph, NodeId, Test};
use crate::rules::{Alternative, CallTable, Rules, Verdict};

/// A graph larger than any that ends in a program that the kernel takes.
const MAX_NODES: usize = 1 << 16;

/// How many numbers a leaf of the search may except: more would make it slower than a deeper search.
const MAX_EXCEPTIONS: usize = 2;

/// What calls of architectures meet that the profile doesn't name.
const FOREIGN: u32 = libc::SECCOMP_RET_KILL_THREAD;

/// A program with what is needed to install it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: Program,
    flags: FilterFlags,
}

impl Filter {
    /// A program that is to be installed with `flags`.
    pub const fn new(program: Program, flags: FilterFlags) -> Self {
        Self { program, flags }
    }

    /// The program.
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// The flags of seccomp(2).
    pub const fn flags(&self) -> FilterFlags {
        self.flags
    }

    /// Whether installing the filter yields a listener.
    pub const fn notifies(&self) -> bool {
        self.flags.contains(FilterFlags::NEW_LISTENER)
    }
}

/// Why a profile is no filter.
#[allow(missing_docs)]
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CompileError {
    #[error("linux.seccomp.architectures[{index}]: {name:?} is not a known architecture")]
    UnknownArchitecture { index: usize, name: String },
    #[error("linux.seccomp.architectures[{index}]: {architecture} has another byte order than {host}")]
    ForeignByteOrder { index: usize, architecture: Architecture, host: Architecture },
    #[error("linux.seccomp.flags[{index}]: seccomp flag {name:?} is not known")]
    UnknownFlag { index: usize, name: String },
    #[error("linux.seccomp.syscalls[{rule}].names[{name}]: empty string is not a valid syscall")]
    EmptyName { rule: usize, name: usize },
    #[error("linux.seccomp.syscalls[{rule}].args[{arg}].index: {index} is no argument, they are 0 to 5")]
    ArgumentIndex { rule: usize, arg: usize, index: u32 },
    #[error("{path}: {action} has no use for an errno")]
    ErrnoUnused { path: String, action: SeccompAction },
    #[error("{path}: {errno} is too large, the limit is {max}")]
    ErrnoRange { path: String, errno: u32, max: u32 },
    #[error("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    #[error("linux.seccomp.syscalls[{rule}].action: SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyWrite { rule: usize },
    #[error("linux.seccomp.listenerPath: seccomp listenerPath is not set, but SCMP_ACT_NOTIFY needs it")]
    NotifyWithoutListener,
    #[error("linux.seccomp.listenerMetadata: must not be set without listenerPath")]
    MetadataWithoutListener,
    #[error(
        "linux.seccomp: the profile needs at least {at_least} instructions, the kernel takes {}",
        MAX_INSTRUCTIONS
    )]
    TooLarge { at_least: usize },
    #[error("linux.seccomp: the compiled program is malformed")]
    Malformed(#[from] ProgramError),
}

/// Compiles a profile for a host.
///
/// The host's own architecture is always covered, beside those that the profile names. As in runc, calls
/// that are newer than the newest one that the profile knows fail with `ENOSYS` unless the default action
/// lets them through, so that programs fall back to older calls.
///
/// # Errors
/// The profile contradicts the specification, names what is unknown, or is too large.
pub fn compile(profile: &Seccomp, host: Architecture) -> Result<Filter, CompileError> {
    let rules = Rules::new(profile)?;
    let flags = flags(profile)?;
    let architectures = architectures(profile, host)?;
    let hides_new_calls =
        !matches!(profile.default_action, SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace);
    let mut writer = Writer { rules: &rules, hides_new_calls, graph: Graph::with_capacity(1024) };
    let root = writer.program(&architectures)?;
    let instructions = writer.graph.layout(root);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(CompileError::TooLarge { at_least: instructions.len() });
    }
    Ok(Filter { program: Program::new(instructions)?, flags })
}

/// The flags, with what follows from actions. `TSYNC` is known and dropped: the filter is installed by the only
/// thread. Where the profile says nothing, it is `SPEC_ALLOW` as in runc.
fn flags(profile: &Seccomp) -> Result<FilterFlags, CompileError> {
    let mut flags = FilterFlags::empty();
    match &profile.flags {
        None => flags |= FilterFlags::SPEC_ALLOW,
        Some(names) => {
            for (index, name) in names.iter().enumerate() {
                flags |= crate::install::flag(name)
                    .ok_or_else(|| CompileError::UnknownFlag { index, name: name.clone() })?;
            }
            flags -= FilterFlags::TSYNC;
        }
    }
    let has_listener = profile.listener_path.as_deref().is_some_and(|path| !path.is_empty());
    if !has_listener && profile.listener_metadata.as_deref().is_some_and(|text| !text.is_empty()) {
        return Err(CompileError::MetadataWithoutListener);
    }
    if profile.syscalls.iter().any(|rule| rule.action == SeccompAction::Notify) {
        if !has_listener {
            return Err(CompileError::NotifyWithoutListener);
        }
        flags |= FilterFlags::NEW_LISTENER;
    }
    Ok(flags)
}

/// The architectures of a program, the host's first.
fn architectures(profile: &Seccomp, host: Architecture) -> Result<Vec<Architecture>, CompileError> {
    let mut architectures = vec![host];
    for (index, name) in profile.architectures.iter().enumerate() {
        let Some(architecture) = Architecture::from_name(name) else {
            return Err(CompileError::UnknownArchitecture { index, name: name.clone() });
        };
        if architecture.byte_order() != host.byte_order() {
            return Err(CompileError::ForeignByteOrder { index, architecture, host });
        }
        if !architectures.contains(&architecture) {
            architectures.push(architecture);
        }
    }
    Ok(architectures)
}

/// Numbers from `start` to the start of the next range.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u32,
    node: NodeId,
}

/// Writes a program's graph.
struct Writer<'rules> {
    rules: &'rules Rules<'rules>,
    hides_new_calls: bool,
    graph: Graph,
}

impl Writer<'_> {
    /// The dispatch on architectures, in their order.
    fn program(&mut self, architectures: &[Architecture]) -> Result<NodeId, CompileError> {
        let mut audits: Vec<u32> = Vec::with_capacity(architectures.len());
        for architecture in architectures {
            if !audits.contains(&architecture.audit()) {
                audits.push(architecture.audit());
            }
        }
        let mut dispatch = self.graph.ret(FOREIGN);
        for audit in audits.into_iter().rev() {
            let section = self.section(audit, architectures)?;
            dispatch = self.graph.branch(Test::Equal, audit, section, dispatch);
        }
        Ok(self.graph.load(bpf::data::ARCHITECTURE, dispatch))
    }

    /// The calls of the ABIs that share an audit value: x86_64 and x32, else just one.
    fn section(&mut self, audit: u32, architectures: &[Architecture]) -> Result<NodeId, CompileError> {
        let foreign = self.graph.ret(FOREIGN);
        let mut ranges = vec![Range { start: 0, node: foreign }];
        // In this order x32, whose numbers are greater, comes after x86_64.
        let abis = Architecture::ALL.into_iter().filter(|abi| abi.audit() == audit);
        for abi in abis.filter(|abi| architectures.contains(abi)) {
            let table = self.rules.table(abi)?;
            match abi {
                Architecture::X86_64 => {
                    ranges.clear();
                    self.append_calls(&mut ranges, abi, &table, 0)?;
                    push_range(&mut ranges, X32_SYSCALL_BIT, foreign);
                    // Linux 4.8 and later: a tracer makes a call void by setting its number to -1.
                    let default = self.graph.ret(self.rules.default);
                    push_range(&mut ranges, u32::MAX, default);
                }
                Architecture::X32 => {
                    ranges.retain(|range| range.start < X32_SYSCALL_BIT);
                    self.append_calls(&mut ranges, abi, &table, X32_SYSCALL_BIT)?;
                }
                _ => {
                    ranges.clear();
                    self.append_calls(&mut ranges, abi, &table, 0)?;
                }
            }
        }
        let search = self.search(&leaves(&ranges));
        Ok(self.graph.load(bpf::data::NUMBER, search))
    }

    /// The ranges of an ABI whose numbers begin at `start`.
    fn append_calls(
        &mut self,
        ranges: &mut Vec<Range>,
        abi: Architecture,
        table: &CallTable,
        start: u32,
    ) -> Result<(), CompileError> {
        let decisions = self.decisions(abi, &table.decisions)?;
        let mut background = self.graph.ret(self.rules.default);
        let no_such_call = self.graph.ret(action::NO_SUCH_CALL);
        let mut beyond = table.newest.filter(|_| self.hides_new_calls).map(|newest| newest + 1);
        let hides = beyond.is_some();
        push_range(ranges, start, background);
        for (number, verdict) in &table.calls {
            // Only ARM's private calls lie beyond.
            if let Some(beyond) = beyond.take_if(|beyond| *number >= *beyond) {
                background = no_such_call;
                push_range(ranges, beyond, background);
            }
            let node = match verdict {
                Verdict::Constant(value) => self.graph.ret(*value),
                Verdict::Decision(index) => decisions[*index],
            };
            push_range(ranges, *number, node);
            push_range(ranges, number + 1, background);
        }
        if let Some(beyond) = beyond {
            push_range(ranges, beyond, no_such_call);
        }
        if hides && matches!(abi, Architecture::S390 | Architecture::S390X) {
            hide_setup(ranges, no_such_call);
        }
        Ok(())
    }

    /// The entries of alternatives.
    fn decisions(
        &mut self,
        abi: Architecture,
        decisions: &[Vec<Alternative>],
    ) -> Result<Vec<NodeId>, CompileError> {
        decisions.iter().map(|alternatives| self.decision(abi, alternatives)).collect()
    }

    /// The first alternative whose conditions hold, else the default action.
    fn decision(&mut self, abi: Architecture, alternatives: &[Alternative]) -> Result<NodeId, CompileError> {
        let mut entry = self.graph.ret(self.rules.default);
        for alternative in alternatives.iter().rev() {
            let otherwise = entry;
            entry = self.graph.ret(self.rules.action(*alternative));
            for condition in self.rules.conditions(*alternative, abi).rev() {
                let mut writer = ConditionWriter { graph: &mut self.graph, architecture: abi };
                entry = writer.write(&condition, entry, otherwise);
            }
            if self.graph.len() > MAX_NODES {
                return Err(CompileError::TooLarge { at_least: self.graph.len() });
            }
        }
        Ok(entry)
    }

    /// A binary search; the accumulator holds the number.
    fn search(&mut self, leaves: &[&[Range]]) -> NodeId {
        match leaves {
            [] => self.graph.ret(FOREIGN),
            [leaf] => self.leaf(leaf),
            _ => {
                let (below, above) = leaves.split_at(leaves.len() / 2);
                let start = above[0][0].start;
                let above = self.search(above);
                let below = self.search(below);
                self.graph.branch(Test::GreaterOrEqual, start, above, below)
            }
        }
    }

    /// The exceptions of a range, one by one.
    fn leaf(&mut self, leaf: &[Range]) -> NodeId {
        let exceptions = leaf.iter().skip(1).step_by(2).rev();
        exceptions
            .fold(leaf[0].node, |others, one| self.graph.branch(Test::Equal, one.start, one.node, others))
    }
}

/// Cuts ranges into the leaves of the search: a range, where single numbers may be excepted that lie in its
/// midst. An exception takes one comparison, a range of its own would take two.
fn leaves(ranges: &[Range]) -> Vec<&[Range]> {
    let mut leaves = Vec::new();
    let mut rest = ranges;
    while !rest.is_empty() {
        let excepts = |at: usize| {
            rest.get(at + 2)
                .is_some_and(|next| next.node == rest[0].node && rest[at + 1].start + 1 == next.start)
        };
        let mut end = 0;
        while end < 2 * MAX_EXCEPTIONS && excepts(end) {
            end += 2;
        }
        let (leaf, others) = rest.split_at(end + 1);
        leaves.push(leaf);
        rest = others;
    }
    leaves
}

/// s390 passes large numbers through setup(2), number 0: that is what an unknown call looks like there.
fn hide_setup(ranges: &mut Vec<Range>, no_such_call: NodeId) {
    if ranges.get(1).is_none_or(|next| next.start > 1) {
        ranges.insert(1, Range { start: 1, node: ranges[0].node });
    }
    ranges[0].node = no_such_call;
}

/// Appends a range, or lets it end or extend the last one.
fn push_range(ranges: &mut Vec<Range>, start: u32, node: NodeId) {
    if ranges.last().is_some_and(|last| last.start == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.node != node) {
        ranges.push(Range { start, node });
    }
}
