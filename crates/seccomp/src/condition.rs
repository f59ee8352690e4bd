//! Comparisons of 64-bit arguments, made of comparisons of 32-bit words.

use oci::spec::seccomp::{SeccompArg, SeccompOp};

use crate::architecture::{Architecture, ByteOrder};
use crate::bpf::data;
use crate::graph::{Fact, Graph, NodeId, Test};

/// One argument against one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// Which argument: 0 to 5.
    index: u32,
    comparison: Comparison,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Comparison {
    /// Equality of the bits of a mask, or its opposite.
    Masked { mask: u64, value: u64, equal: bool },
    /// Order, or its opposite.
    Order { strict: bool, value: u64, holds: bool },
}

impl Condition {
    /// The condition that an argument equals a number.
    pub(crate) const fn equal(index: u32, value: u64) -> Self {
        Self { index, comparison: Comparison::Masked { mask: u64::MAX, value, equal: true } }
    }

    /// The condition of a profile, as this architecture sees it: narrow arguments are compared in their low
    /// half.
    pub(crate) fn new(arg: &SeccompArg, architecture: Architecture) -> Self {
        let width = if architecture.has_wide_arguments() { u64::MAX } else { u32::MAX.into() };
        let value = arg.value & width;
        let comparison = match arg.op {
            SeccompOp::Eq => Comparison::Masked { mask: width, value, equal: true },
            SeccompOp::Ne => Comparison::Masked { mask: width, value, equal: false },
            SeccompOp::MaskedEq => {
                Comparison::Masked { mask: value, value: arg.value_two & value, equal: true }
            }
            SeccompOp::Ge => Comparison::Order { strict: false, value, holds: true },
            SeccompOp::Gt => Comparison::Order { strict: true, value, holds: true },
            SeccompOp::Lt => Comparison::Order { strict: false, value, holds: false },
            SeccompOp::Le => Comparison::Order { strict: true, value, holds: false },
        };
        Self { index: arg.index, comparison }
    }

    /// Which argument is compared.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// Whether the condition holds for every value because it looks at no bit.
    pub(crate) const fn is_vacuous(&self) -> bool {
        matches!(self.comparison, Comparison::Masked { mask: 0, equal: true, .. })
    }
}

/// Where the halves of an argument lie.
#[derive(Clone, Copy)]
struct Halves {
    low: u32,
    high: u32,
    wide: bool,
}

/// Writes conditions of one architecture into a graph.
pub(crate) struct ConditionWriter<'graph> {
    pub(crate) graph: &'graph mut Graph,
    pub(crate) architecture: Architecture,
}

impl ConditionWriter<'_> {
    /// The node that goes on at `yes` if the condition holds and at `no` if not; both expect nothing in the
    /// accumulator.
    pub(crate) fn write(&mut self, condition: &Condition, yes: NodeId, no: NodeId) -> NodeId {
        let halves = self.halves(condition.index);
        match condition.comparison {
            Comparison::Masked { mask, value, equal } => {
                let (yes, no) = if equal { (yes, no) } else { (no, yes) };
                self.masked(halves, mask, value, yes, no)
            }
            Comparison::Order { strict, value, holds } => {
                let (yes, no) = if holds { (yes, no) } else { (no, yes) };
                self.order(halves, strict, value, yes, no)
            }
        }
    }

    fn halves(&self, index: u32) -> Halves {
        let first = data::ARGUMENTS + 8 * index;
        let wide = self.architecture.has_wide_arguments();
        match self.architecture.byte_order() {
            ByteOrder::Little => Halves { low: first, high: first + 4, wide },
            ByteOrder::Big => Halves { low: first + 4, high: first, wide },
        }
    }

    fn masked(&mut self, halves: Halves, mask: u64, value: u64, yes: NodeId, no: NodeId) -> NodeId {
        let (mask_high, mask_low) = split(mask);
        let (high, low) = split(value);
        let fact =
            (mask_high == u32::MAX).then_some(Fact { offset: halves.high, operand: high, equal: true });
        let low = self.masked_word(halves.low, (mask_low, low), (yes, fact), (no, fact));
        if !halves.wide {
            return low;
        }
        let unequal = fact.map(|fact| Fact { equal: false, ..fact });
        self.masked_word(halves.high, (mask_high, high), (low, None), (no, unequal))
    }

    /// Compares the masked word at `offset`.
    fn masked_word(
        &mut self,
        offset: u32,
        (mask, value): (u32, u32),
        (yes, yes_fact): (NodeId, Option<Fact>),
        (no, no_fact): (NodeId, Option<Fact>),
    ) -> NodeId {
        if mask == 0 {
            return yes;
        }
        let one_bit = mask.is_power_of_two() && value == mask;
        let tests_word = mask == u32::MAX || value == 0 || one_bit;
        if !tests_word {
            let branch = self.graph.branch(Test::Equal, value, yes, no);
            let and = self.graph.and(mask, branch);
            return self.graph.load(offset, and);
        }
        let yes = self.graph.thread(yes, offset, yes_fact);
        let no = self.graph.thread(no, offset, no_fact);
        let branch = if mask == u32::MAX {
            self.graph.branch(Test::Equal, value, yes, no)
        } else if one_bit {
            self.graph.branch(Test::AnyBit, mask, yes, no)
        } else {
            self.graph.branch(Test::AnyBit, mask, no, yes)
        };
        self.graph.load(offset, branch)
    }

    /// Whether the argument is greater than `value`, or equal where not `strict`.
    fn order(&mut self, halves: Halves, strict: bool, value: u64, yes: NodeId, no: NodeId) -> NodeId {
        let (high, low) = split(value);
        let test = if strict { Test::Greater } else { Test::GreaterOrEqual };
        let equal = Fact { offset: halves.high, operand: high, equal: true };
        let low = self.order_word(halves.low, test, low, (yes, no), Some(equal));
        if !halves.wide {
            return low;
        }
        let unequal = Some(Fact { equal: false, ..equal });
        let greater = self.graph.thread(yes, halves.high, unequal);
        let less = self.graph.thread(no, halves.high, unequal);
        let branch = match high {
            0 => self.graph.branch(Test::Equal, 0, low, greater),
            u32::MAX => self.graph.branch(Test::Equal, high, low, less),
            _ => {
                let not_greater = self.graph.branch(Test::Equal, high, low, less);
                self.graph.branch(Test::Greater, high, greater, not_greater)
            }
        };
        self.graph.load(halves.high, branch)
    }

    fn order_word(
        &mut self,
        offset: u32,
        test: Test,
        operand: u32,
        (yes, no): (NodeId, NodeId),
        fact: Option<Fact>,
    ) -> NodeId {
        match (test, operand) {
            (Test::GreaterOrEqual, 0) => return yes,
            (Test::Greater, u32::MAX) => return no,
            _ => {}
        }
        let yes = self.graph.thread(yes, offset, fact);
        let no = self.graph.thread(no, offset, fact);
        let branch = self.graph.branch(test, operand, yes, no);
        self.graph.load(offset, branch)
    }
}

const fn split(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
