//! The text form of a capability state; cap_text_formats(7) of libcap.
//!
//! A text is clauses with white space between, each a list of names and what to do with their flags:
//! `cap_net_raw,cap_kill=ep`, `all=ip cap_chown-i`, `=p`.

use std::fmt;

use crate::{CapSet, Capability};

/// The three sets that the text form speaks of: those of a process, or of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct State {
    pub effective: CapSet,
    pub permitted: CapSet,
    pub inheritable: CapSet,
}

/// Why a text is no capability state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TextError {
    #[error("\"{}\": {unknown}", clause.escape_debug())]
    Name { clause: String, unknown: crate::UnknownCapability },
    #[error("\"{}\": expected =, + or - and some of the letters e, i, p after the names", .0.escape_debug())]
    Operator(String),
    #[error("\"{}\": names are needed with + and -", .0.escape_debug())]
    NoNames(String),
}

/// Which of the three sets a capability is in, or a clause changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    // The values decide the order in which clauses are written, as in libcap.
    const EFFECTIVE: u8 = 1;
    const PERMITTED: u8 = 2;
    const INHERITABLE: u8 = 4;
    const LETTERS: [(char, u8); 3] =
        [('e', Self::EFFECTIVE), ('i', Self::INHERITABLE), ('p', Self::PERMITTED)];

    fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self(0), |flags, letter| {
            let (_, bit) = Self::LETTERS.into_iter().find(|&(known, _)| known == letter)?;
            Some(Self(flags.0 | bit))
        })
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0);
        set.map(|(letter, _)| *letter).try_for_each(|letter| write!(formatter, "{letter}"))
    }
}

impl State {
    /// Reads a text; `all` is what the word `all` and a lone `=` stand for: [`crate::supported`].
    pub fn parse(text: &str, all: CapSet) -> Result<Self, TextError> {
        let mut state = Self::default();
        for clause in text.split_whitespace() {
            state.apply(clause, all)?;
        }
        Ok(state)
    }

    /// Writes the text that libcap writes on a kernel that knows the capabilities `known`: the flags that most
    /// share come first, without names.
    pub fn to_text(&self, known: CapSet) -> String {
        let sharing =
            |flags: u8| known.iter().filter(|&capability| self.flags(capability).0 == flags).count();
        let common = Flags((0..8).rev().max_by_key(|&flags| sharing(flags)).unwrap_or(0));

        let mut clauses = Vec::new();
        for flags in (0..8).rev().map(Flags).filter(|&flags| flags != common) {
            let members: CapSet =
                known.iter().filter(|&capability| self.flags(capability) == flags).collect();
            if !members.is_empty() {
                clauses.push(clause(members, flags, common, clauses.is_empty()));
            }
        }
        for flags in (1..8).rev().map(Flags) {
            let unknown = (!known).iter().filter(|&capability| self.flags(capability) == flags);
            let members: CapSet = unknown.collect();
            if !members.is_empty() {
                clauses.push(format!("{members}+{flags}"));
            }
        }
        // A first clause with "=" already says that everything else is off.
        let says_rest = clauses.first().is_some_and(|first| first.contains('='));
        if !says_rest {
            clauses.insert(0, format!("={common}"));
        }
        clauses.join(" ")
    }

    fn apply(&mut self, clause: &str, all: CapSet) -> Result<(), TextError> {
        let operator = |character| matches!(character, '=' | '+' | '-');
        let start = clause.find(operator).ok_or_else(|| TextError::Operator(clause.to_owned()))?;
        let (names, mut actions) = clause.split_at(start);
        let members = match names {
            "" if actions.starts_with('=') && !actions.contains(['+', '-']) => all,
            "" => return Err(TextError::NoNames(clause.to_owned())),
            names => members(names, all)
                .map_err(|unknown| TextError::Name { clause: clause.to_owned(), unknown })?,
        };
        let mut first = true;
        while let Some(action) = actions.chars().next() {
            let rest = &actions[1..];
            let end = rest.find(operator).unwrap_or(rest.len());
            let flags = Flags::parse(&rest[..end]).filter(|flags| match action {
                '=' => first,
                _ => !flags.is_empty(),
            });
            let flags = flags.ok_or_else(|| TextError::Operator(clause.to_owned()))?;
            self.change(members, action, flags);
            actions = &rest[end..];
            first = false;
        }
        Ok(())
    }

    fn change(&mut self, members: CapSet, action: char, flags: Flags) {
        let sets = [
            (&mut self.effective, Flags::EFFECTIVE),
            (&mut self.permitted, Flags::PERMITTED),
            (&mut self.inheritable, Flags::INHERITABLE),
        ];
        for (set, bit) in sets {
            match (action, flags.0 & bit != 0) {
                ('=' | '+', true) => *set = *set | members,
                ('=', false) | ('-', true) => *set = *set - members,
                _ => {}
            }
        }
    }

    fn flags(&self, capability: Capability) -> Flags {
        let bit = |set: CapSet, bit: u8| if set.contains(capability) { bit } else { 0 };
        Flags(
            bit(self.effective, Flags::EFFECTIVE)
                | bit(self.permitted, Flags::PERMITTED)
                | bit(self.inheritable, Flags::INHERITABLE),
        )
    }
}

/// Members with `flags` where everything else has `common`.
fn clause(members: CapSet, flags: Flags, common: Flags, first: bool) -> String {
    let (more, less) = (flags.without(common), common.without(flags));
    let mut text = members.to_string();
    if !more.is_empty() {
        let operator = if first && common.is_empty() { '=' } else { '+' };
        text.push_str(&format!("{operator}{more}"));
    }
    if !less.is_empty() {
        text.push_str(&format!("-{less}"));
    }
    text
}

fn members(names: &str, all: CapSet) -> Result<CapSet, crate::UnknownCapability> {
    names.split(',').try_fold(CapSet::EMPTY, |set, name| {
        let more =
            if name.eq_ignore_ascii_case("all") { all } else { CapSet::from(name.parse::<Capability>()?) };
        Ok(set | more)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<State, TextError> {
        State::parse(text, CapSet::all())
    }

    #[test]
    fn the_usual_texts_go_both_ways() {
        let texts = [
            "=",
            "=ep",
            "cap_net_raw=ep",
            "=ep cap_sys_resource-ep",
            "cap_chown,cap_kill=eip cap_fowner+i",
            "=p cap_kill+ei cap_chown+e-p",
        ];
        for text in texts {
            assert_eq!(parse(text).unwrap().to_text(CapSet::all()), text);
        }
    }

    #[test]
    fn clauses_act_one_after_the_other() {
        assert_eq!(parse("all=p  cap_kill=\tchown-p\n").unwrap(), parse("=p cap_kill,cap_chown-p").unwrap());
        assert_eq!(parse("kill=p+e-p").unwrap(), parse("kill=e").unwrap());
        assert_eq!(parse("").unwrap(), State::default());
    }

    #[test]
    fn nonsense_is_refused_with_its_clause() {
        for text in
            ["cap_kill", "cap_kill=x", "+p", "cap_kill+", "cap_kill+p=e", "cap_none=p", "a,=p", "=p=e", "=+p"]
        {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("\"{text}\"")), "{error}");
        }
    }
}
