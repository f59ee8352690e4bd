//! The rules of a profile, resolved: which actions a system call can meet, in which order.

use std::collections::HashMap;

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompArg};

use crate::action;
use crate::architecture::Architecture;
use crate::catalog::CALLS;
use crate::compile::CompileError;
use crate::condition::Condition;
use crate::syscalls;

/// More pairs of call and clause than any program could hold.
const MAX_PAIRS: usize = 1 << 18;

/// `__ARM_NR_BASE`: calls from here on are no sign of a kernel's age.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// A conjunction of conditions and what follows from it.
#[derive(Clone, Copy, Debug)]
struct Clause<'profile> {
    /// The value for the kernel.
    action: u32,
    args: &'profile [SeccompArg],
}

/// The rules of a profile.
#[derive(Debug)]
pub(crate) struct Rules<'profile> {
    /// The value for the kernel of the default action.
    pub(crate) default: u32,
    clauses: Vec<Clause<'profile>>,
    /// Row of the catalogue and clause, in the order of the profile.
    pairs: Vec<(u16, u32)>,
    /// Rows of the catalogue that the profile knows, with rules or without need of one.
    mentioned: Vec<bool>,
}

/// What a system call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Always the same.
    Constant(u32),
    /// What [`CallTable::decisions`] has at this index.
    Decision(usize),
}

/// What one architecture's calls meet.
#[derive(Debug)]
pub(crate) struct CallTable {
    /// Numbers and verdicts, sorted by number; other numbers meet the default action.
    pub(crate) calls: Vec<(u32, Verdict)>,
    /// Alternatives, tried in order before the default action; the calls of one list share it.
    pub(crate) decisions: Vec<Vec<Alternative>>,
    /// The greatest number that the profile knows, ARM's private calls aside.
    pub(crate) newest: Option<u32>,
}

/// A clause as one call meets it: where it comes through socketcall(2) or ipc(2), with this first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Alternative {
    clause: u32,
    selector: Option<u32>,
}

impl<'profile> Rules<'profile> {
    /// Resolves the rules. Unknown names are passed over: they are calls of other architectures and of
    /// kernels to come.
    ///
    /// # Errors
    /// A rule is malformed, or there are too many.
    pub(crate) fn new(profile: &'profile Seccomp) -> Result<Self, CompileError> {
        let default = action::default_value(profile)?;
        let mut rules =
            Self { default, clauses: Vec::new(), pairs: Vec::new(), mentioned: vec![false; CALLS.len()] };
        for (at, rule) in profile.syscalls.iter().enumerate() {
            let value = action::rule_value(at, rule)?;
            check_args(at, &rule.args)?;
            let clauses = rules.add_clauses(value, &rule.args);
            for (position, name) in rule.names.iter().enumerate() {
                if name.is_empty() {
                    return Err(CompileError::EmptyName { rule: at, name: position });
                }
                if name == "write" && rule.action == SeccompAction::Notify {
                    return Err(CompileError::NotifyWrite { rule: at });
                }
                let Some(row) = syscalls::find(name) else { continue };
                rules.mentioned[row] = true;
                rules.pairs.extend(clauses.clone().map(|clause| (row as u16, clause)));
                if rules.pairs.len() > MAX_PAIRS {
                    return Err(CompileError::TooLarge { at_least: rules.pairs.len() });
                }
            }
        }
        Ok(rules)
    }

    /// The clauses of a rule. A rule for the default action adds none, as in libseccomp. Where an argument
    /// has several conditions each condition is a clause of its own, as in runc: it is enough that one holds.
    fn add_clauses(&mut self, action: u32, args: &'profile [SeccompArg]) -> std::ops::Range<u32> {
        let first = self.clauses.len() as u32;
        if action == self.default {
            return first..first;
        }
        let repeats =
            args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|a| a.index == arg.index));
        if repeats {
            self.clauses.extend(args.chunks(1).map(|args| Clause { action, args }));
        } else {
            self.clauses.push(Clause { action, args });
        }
        first..self.clauses.len() as u32
    }

    /// What the calls of an architecture meet.
    ///
    /// # Errors
    /// A call has more alternatives than a program could try.
    pub(crate) fn table(&self, architecture: Architecture) -> Result<CallTable, CompileError> {
        let mut pairs = self.pairs_of(architecture);
        pairs.sort_unstable();
        let mut table = CallTable { calls: Vec::new(), decisions: Vec::new(), newest: None };
        let mut known = HashMap::new();
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            table
                .calls
                .push((group[0].0, self.verdict(group, architecture, &mut table.decisions, &mut known)));
        }
        table.newest = (CALLS.iter().zip(&self.mentioned))
            .filter(|(_, mentioned)| **mentioned)
            .filter_map(|(row, _)| row.number(architecture))
            .filter(|number| architecture != Architecture::Arm || *number < ARM_PRIVATE)
            .max();
        Ok(table)
    }

    /// Numbers of calls with what they meet, in no order.
    fn pairs_of(&self, architecture: Architecture) -> Vec<(u32, Alternative)> {
        let mut pairs = Vec::with_capacity(self.pairs.len());
        let multiplexed = syscalls::multiplexed(architecture);
        for (row, clause) in &self.pairs {
            let row = usize::from(*row);
            if let Some(number) = CALLS[row].number(architecture) {
                pairs.push((number, Alternative { clause: *clause, selector: None }));
            }
            if let Some(call) = multiplexed[row] {
                pairs.push((call.number, Alternative { clause: *clause, selector: Some(call.selector) }));
            }
        }
        pairs
    }

    /// What one call meets. A rule without conditions outweighs those with some, as in libseccomp; of several
    /// such rules the first does.
    fn verdict(
        &self,
        group: &[(u32, Alternative)],
        architecture: Architecture,
        decisions: &mut Vec<Vec<Alternative>>,
        known: &mut HashMap<Vec<Alternative>, usize>,
    ) -> Verdict {
        if let Some((_, sure)) = group.iter().find(|(_, one)| self.is_unconditional(*one, architecture)) {
            return Verdict::Constant(self.action(*sure));
        }
        let mut alternatives: Vec<_> = group.iter().map(|(_, alternative)| *alternative).collect();
        alternatives.dedup();
        let next = decisions.len();
        let index = *known.entry(alternatives).or_insert_with_key(|alternatives| {
            decisions.push(alternatives.clone());
            next
        });
        Verdict::Decision(index)
    }

    fn is_unconditional(&self, alternative: Alternative, architecture: Architecture) -> bool {
        self.conditions(alternative, architecture).all(|condition| condition.is_vacuous())
    }

    /// The value for the kernel.
    pub(crate) fn action(&self, alternative: Alternative) -> u32 {
        self.clauses[alternative.clause as usize].action
    }

    /// What has to hold. The arguments of a multiplexed call lie in memory, out of a filter's sight: its
    /// selector takes the place of the condition on the first, as in libseccomp.
    pub(crate) fn conditions(
        &self,
        alternative: Alternative,
        architecture: Architecture,
    ) -> impl DoubleEndedIterator<Item = Condition> {
        let selector = alternative.selector.map(|selector| Condition::equal(0, selector.into()));
        let args = self.clauses[alternative.clause as usize].args.iter();
        let conditions = args.map(move |arg| Condition::new(arg, architecture));
        selector
            .into_iter()
            .chain(conditions.filter(move |condition| selector.is_none() || condition.index() != 0))
    }
}

fn check_args(rule: usize, args: &[SeccompArg]) -> Result<(), CompileError> {
    match args.iter().position(|arg| arg.index > 5) {
        Some(arg) => Err(CompileError::ArgumentIndex { rule, arg, index: args[arg].index }),
        None => Ok(()),
    }
}
