//! `berth userns map`.

use clap::Args;
use namespace::IdKind;
use serde_json::{Value, json};
use toolbox::userns::levels::Levels;

use crate::toolbox::target::Target;
use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let levels = Levels::of_process(self.target.pid()?)?;
        output::answer(self.target.json, &json(&levels), || levels.text())
    }
}

fn json(levels: &Levels) -> Value {
    let extents = |map: Option<&namespace::IdMap>| {
        map.map(|map| map.extents().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let level = |(position, level): (usize, &toolbox::userns::levels::Level)| {
        let parent = |kind| extents(levels.to_parent(position, kind).as_ref());
        json!({
            "ns": level.inode,
            "owner": level.owner_uid,
            "setgroups": level.setgroups,
            "users": { "parent": parent(IdKind::User), "caller": extents(level.map(IdKind::User)) },
            "groups": { "parent": parent(IdKind::Group), "caller": extents(level.map(IdKind::Group)) },
        })
    };
    json!({
        "pid": levels.pid.as_raw_pid(),
        "levels": levels.levels.iter().enumerate().map(level).collect::<Vec<_>>(),
    })
}
