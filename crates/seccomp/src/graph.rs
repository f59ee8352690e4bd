//! A decision graph over `seccomp_data`, and its layout as a BPF program.
//!
//! A node only ever points to nodes made before it, so that the order of creation, read backwards, is an
//! order in which every jump leads forward.
//!
//! Where a node is entered with knowledge (which word is in the accumulator, that a word equals a constant),
//! [`Graph::thread`] follows what is decided already: of a row of comparisons of one argument the first loads
//! and compares the high half, the others only compare the low half.

use crate::bpf::{Instruction, code};

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

#[derive(Clone, Copy, Debug)]
enum Node {
    Return(u32),
    Load { offset: u32, next: NodeId },
    And { mask: u32, next: NodeId },
    Branch { test: Test, operand: u32, yes: NodeId, no: NodeId },
}

/// A comparison of the accumulator with a constant, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    /// Some bit of the constant is set.
    AnyBit,
}

/// What is known of a word of `seccomp_data` once it has been compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    /// Where the word lies.
    pub(crate) offset: u32,
    /// What it was compared with.
    pub(crate) operand: u32,
    /// What came out.
    pub(crate) equal: bool,
}

/// A graph in the making.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    returns: Vec<(u32, NodeId)>,
}

impl Graph {
    pub(crate) fn with_capacity(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes), returns: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns `value` to the kernel.
    pub(crate) fn ret(&mut self, value: u32) -> NodeId {
        if let Some((_, node)) = self.returns.iter().find(|(known, _)| *known == value) {
            return *node;
        }
        let node = self.push(Node::Return(value));
        self.returns.push((value, node));
        node
    }

    /// Loads the word at `offset`, then goes on.
    pub(crate) fn load(&mut self, offset: u32, next: NodeId) -> NodeId {
        self.push(Node::Load { offset, next })
    }

    /// Masks the accumulator, then goes on.
    pub(crate) fn and(&mut self, mask: u32, next: NodeId) -> NodeId {
        self.push(Node::And { mask, next })
    }

    /// Compares the accumulator.
    pub(crate) fn branch(&mut self, test: Test, operand: u32, yes: NodeId, no: NodeId) -> NodeId {
        if yes == no { yes } else { self.push(Node::Branch { test, operand, yes, no }) }
    }

    /// Where a jump to `target` really leads while the accumulator holds the word at `held` and `fact` is
    /// known.
    pub(crate) fn thread(&self, target: NodeId, held: u32, fact: Option<Fact>) -> NodeId {
        let mut target = target;
        loop {
            let Node::Load { offset, next } = self.node(target) else { return target };
            let decided = fact.filter(|fact| fact.offset == offset).and_then(|fact| self.decide(next, fact));
            target = match decided {
                Some(node) if offset == held => self.thread_held(node, fact),
                // Behind the branch the word would have to be in the accumulator: only what needs none will do.
                Some(node) if self.needs_no_word(node) => node,
                _ if offset == held => return next,
                _ => return target,
            };
        }
    }

    /// Follows branches that `fact` decides; the accumulator holds the word of `fact`.
    fn thread_held(&self, node: NodeId, fact: Option<Fact>) -> NodeId {
        let mut node = node;
        while let Some(next) = fact.and_then(|fact| self.decide(node, fact)) {
            node = next;
        }
        node
    }

    /// The way that `fact` leaves open at a comparison of its word.
    fn decide(&self, node: NodeId, fact: Fact) -> Option<NodeId> {
        let Node::Branch { test: Test::Equal, operand, yes, no } = self.node(node) else { return None };
        match (fact.equal, operand == fact.operand) {
            (true, true) => Some(yes),
            (true, false) | (false, true) => Some(no),
            (false, false) => None,
        }
    }

    fn needs_no_word(&self, node: NodeId) -> bool {
        matches!(self.node(node), Node::Load { .. } | Node::Return(_))
    }

    fn node(&self, id: NodeId) -> Node {
        self.nodes[id.0 as usize]
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// The instructions of what `root` reaches.
    pub(crate) fn layout(&self, root: NodeId) -> Vec<Instruction> {
        let reached = self.reached(root);
        let mut layout = Layout { graph: self, reversed: Vec::new(), places: vec![0; self.nodes.len()] };
        for (at, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            layout.place(NodeId(at as u32));
        }
        layout.reversed.reverse();
        layout.reversed
    }

    fn reached(&self, root: NodeId) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        reached[root.0 as usize] = true;
        for at in (0..=root.0 as usize).rev() {
            if !reached[at] {
                continue;
            }
            match self.nodes[at] {
                Node::Return(_) => {}
                Node::Load { next, .. } | Node::And { next, .. } => reached[next.0 as usize] = true,
                Node::Branch { yes, no, .. } => {
                    reached[yes.0 as usize] = true;
                    reached[no.0 as usize] = true;
                }
            }
        }
        reached
    }
}

/// A program written from its end: targets have their places before the jumps to them.
struct Layout<'graph> {
    graph: &'graph Graph,
    reversed: Vec<Instruction>,
    /// Where in `reversed` a node begins, or a shorter way to it.
    places: Vec<usize>,
}

impl Layout<'_> {
    fn place(&mut self, id: NodeId) {
        match self.graph.node(id) {
            Node::Return(value) => self.emit(code::RETURN, 0, 0, value),
            Node::Load { offset, next } => {
                self.adjoin(next);
                self.emit(code::LOAD, 0, 0, offset);
            }
            Node::And { mask, next } => {
                self.adjoin(next);
                self.emit(code::AND, 0, 0, mask);
            }
            Node::Branch { test, operand, yes, no } => {
                // A stepping stone for one target moves the other away by one: the second look finds it.
                self.approach(yes);
                self.approach(no);
                self.approach(yes);
                let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
                self.emit(test.code(), jt, jf, operand);
            }
        }
        self.places[id.0 as usize] = self.reversed.len() - 1;
    }

    /// How many instructions a jump from the next instruction would skip.
    fn distance(&self, target: NodeId) -> usize {
        self.reversed.len() - 1 - self.places[target.0 as usize]
    }

    /// Brings a target within the reach of a conditional jump.
    fn approach(&mut self, target: NodeId) {
        if self.distance(target) > usize::from(u8::MAX) {
            self.step_to(target);
        }
    }

    /// Makes a target the instruction behind the next one.
    fn adjoin(&mut self, target: NodeId) {
        if self.distance(target) > 0 {
            self.step_to(target);
        }
    }

    /// A copy of a return, or a long jump.
    fn step_to(&mut self, target: NodeId) {
        match self.graph.node(target) {
            Node::Return(value) => self.emit(code::RETURN, 0, 0, value),
            _ => self.emit(code::JUMP, 0, 0, self.distance(target) as u32),
        }
        self.places[target.0 as usize] = self.reversed.len() - 1;
    }

    fn emit(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.reversed.push(Instruction { code, jt, jf, k });
    }
}

impl Test {
    const fn code(self) -> u16 {
        match self {
            Self::Equal => code::JUMP_EQUAL,
            Self::Greater => code::JUMP_GREATER,
            Self::GreaterOrEqual => code::JUMP_GREATER_OR_EQUAL,
            Self::AnyBit => code::JUMP_ANY_BIT,
        }
    }
}
