//! Commands for several containers: one that fails stops no other, and the names of the others are printed.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use engine::{Container, Engine};

use crate::commands::entry::told;
use crate::commands::output::print;
use crate::commands::{Outcome, context};

/// How many are worked on at a time.
const AT_A_TIME: usize = 16;

/// What came of one: what to print, or why it failed.
type One = Result<String, String>;

/// Does something to each container, several at a time, and prints their names in the order they were given in.
pub fn at_once(
    engine: &Engine,
    names: &[String],
    act: impl Fn(&Container) -> engine::Result<()> + Sync,
) -> Outcome {
    let one = |name: &String| -> One {
        let done = engine.find(name).and_then(|container| act(&container));
        done.map(|()| format!("{name}\n")).map_err(|error| complaint(&error))
    };
    if let [name] = names {
        return Ok(report([one(name)]));
    }
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let (next, one) = (&next, &one);
        let work = move || {
            while let Some((at, name)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                names.get(at).map(|name| (at, name))
            } {
                // The receiver lives as long as the scope.
                let _ = sender.send((at, one(name)));
            }
        };
        let started = (0..names.len().min(AT_A_TIME))
            .take_while(|_| thread::Builder::new().spawn_scoped(scope, work.clone()).is_ok())
            .count();
        // Where no thread can be made, this one works.
        if started == 0 {
            work();
        }
        // With its end of the channel, so that the list below ends.
        drop(work);
        Ok(report(in_order(receiver)))
    })
}

/// Does something to each container, one after the other, and prints their names.
pub fn in_turn(
    engine: &Engine,
    names: &[String],
    mut act: impl FnMut(&Container) -> Result<(), Box<dyn Error>>,
) -> Outcome {
    answer_in_turn(engine, names, |name, container| act(container).map(|()| format!("{name}\n")))
}

/// The same, with something else to print than the name.
pub fn answer_in_turn(
    engine: &Engine,
    names: &[String],
    mut act: impl FnMut(&str, &Container) -> Result<String, Box<dyn Error>>,
) -> Outcome {
    let outcomes = names.iter().map(|name| {
        let container = engine.find(name).map_err(|error| complaint(&error))?;
        act(name, &container).map_err(|error| complaint(error.as_ref()))
    });
    Ok(report(outcomes))
}

/// What arrives numbered, by its numbers.
fn in_order(receiver: mpsc::Receiver<(usize, One)>) -> impl Iterator<Item = One> {
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    std::iter::from_fn(move || {
        while !waiting.contains_key(&next) {
            let (at, outcome) = receiver.recv().ok()?;
            waiting.insert(at, outcome);
        }
        next += 1;
        waiting.remove(&(next - 1))
    })
}

fn report(outcomes: impl IntoIterator<Item = One>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for outcome in outcomes {
        match outcome.map(|done| print(&done)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("berth: standard output: {error}"),
            Err(complaint) => {
                eprintln!("{complaint}");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn complaint(error: &(dyn Error + 'static)) -> String {
    let hint = context::hint(error).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("berth: {}{hint}", told(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_numbers() {
        let (sender, receiver) = mpsc::channel();
        for at in [2, 0, 1] {
            sender.send((at, Ok(at.to_string()))).unwrap();
        }
        drop(sender);
        let all: Vec<String> = in_order(receiver).map(Result::unwrap).collect();
        assert_eq!(all, ["0", "1", "2"]);
    }
}
