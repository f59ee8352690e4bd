//! All mounts of a new container, in Docker's order: other containers' volumes, `-v`, `--mount`, the image's VOLUMEs.

use std::collections::BTreeSet;

use crate::config::{ContainerConfig, HostConfig, MountConfig, VolumeOptions};
use crate::spec::clean;

use super::bind::check_target;
use super::{Bind, MountError, Planned, check, check_tmpfs, parse_bind};

/// The mounts of another container, by its name; or why they can't be had.
pub type Others<'a> = &'a dyn Fn(&str) -> Result<Vec<Planned>, String>;

/// Decides what a container mounts. Volumes without a name have an empty source still.
///
/// # Errors
/// What Docker refuses: a form that is none, or two mounts in one place.
pub fn plan(
    config: &ContainerConfig,
    host: &HostConfig,
    others: Others<'_>,
) -> Result<Vec<Planned>, MountError> {
    let mut planned = Vec::new();
    for from in &host.volumes_from {
        inherited(from, others, &mut planned)?;
    }
    let mut taken = BTreeSet::new();
    for (path, options) in &host.tmpfs {
        check_target(path).map_err(|problem| config_error("tmpfs", problem))?;
        check_tmpfs(options)?;
        take(&mut taken, &clean(path))?;
    }
    let mut add = |one: Planned| {
        take(&mut taken, &one.mount.target)?;
        planned.retain(|earlier: &Planned| earlier.mount.target != one.mount.target);
        planned.push(one);
        Ok::<_, MountError>(())
    };
    for spec in &host.binds {
        let Bind { mount, mode } = parse_bind(spec)?;
        let anonymous = mount.r#type == "volume" && mount.source.is_empty();
        add(Planned { mount, mode, anonymous })?;
    }
    for mount in &host.mounts {
        let mut mount = mount.clone();
        check(&mut mount)?;
        let anonymous = mount.r#type == "volume" && mount.source.is_empty();
        add(Planned { mount, mode: String::new(), anonymous })?;
    }
    for path in config.volumes.keys() {
        check_target(path).map_err(|problem| config_error("volume", problem))?;
        let target = clean(path);
        // What is mounted there already serves as well.
        if taken.contains(&target) || planned.iter().any(|earlier| earlier.mount.target == target) {
            continue;
        }
        let mount = MountConfig { r#type: "volume".into(), target, ..MountConfig::default() };
        planned.push(Planned { mount, mode: String::new(), anonymous: true });
    }
    Ok(planned)
}

fn config_error(kind: &str, problem: String) -> MountError {
    MountError::Config { kind: kind.into(), problem }
}

fn take(taken: &mut BTreeSet<String>, target: &str) -> Result<(), MountError> {
    match taken.insert(target.to_owned()) {
        true => Ok(()),
        false => Err(MountError::Duplicate(target.to_owned())),
    }
}

/// `--volumes-from CONTAINER[:ro|rw]`: a later one, and everything else, counts more than an earlier one.
fn inherited(from: &str, others: Others<'_>, planned: &mut Vec<Planned>) -> Result<(), MountError> {
    let fail = |problem: String| MountError::VolumesFrom { spec: from.to_owned(), problem };
    let (name, mode) = from.split_once(':').unwrap_or((from, ""));
    if name.is_empty() {
        return Err(fail("the container's name is missing".into()));
    }
    let mut read_only = false;
    for option in mode.split(',').filter(|_| !mode.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" | "z" | "Z" => {}
            _ => return Err(fail(format!("invalid mode: {mode}: use ro or rw"))),
        }
    }
    for mut one in others(name).map_err(fail)? {
        one.mount.read_only |= read_only;
        one.anonymous = false;
        if one.is_volume() {
            // The other container has filled it, or will.
            one.mount.volume_options.get_or_insert_with(VolumeOptions::default).no_copy = true;
        }
        if !mode.is_empty() {
            one.mode = mode.to_owned();
        }
        planned.retain(|earlier| earlier.mount.target != one.mount.target);
        planned.push(one);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Empty;

    fn host(binds: &[&str]) -> HostConfig {
        HostConfig { binds: binds.iter().map(ToString::to_string).collect(), ..HostConfig::default() }
    }

    fn nobody(_: &str) -> Result<Vec<Planned>, String> {
        Err("No such container".into())
    }

    fn targets(planned: &[Planned]) -> Vec<(&str, &str, &str)> {
        planned
            .iter()
            .map(|p| (p.mount.r#type.as_str(), p.mount.source.as_str(), p.mount.target.as_str()))
            .collect()
    }

    #[test]
    fn an_images_volume_is_made_unless_something_is_there() {
        let volumes = ["/data", "/logs/", "/tmp"].map(|path| (path.to_owned(), Empty {})).into();
        let config = ContainerConfig { volumes, ..ContainerConfig::default() };
        let mut host = host(&["/srv:/data"]);
        host.tmpfs = [("/tmp".into(), String::new())].into();
        let planned = plan(&config, &host, &nobody).unwrap();
        assert_eq!(targets(&planned), [("bind", "/srv", "/data"), ("volume", "", "/logs")]);
        assert!(planned[1].anonymous);
    }

    #[test]
    fn two_mounts_in_one_place_are_refused() {
        let config = ContainerConfig::default();
        let error = plan(&config, &host(&["/a:/x", "vol:/x/"]), &nobody).unwrap_err().to_string();
        assert_eq!(error, "Duplicate mount point: /x");
        let mut both = host(&["/a:/x"]);
        both.tmpfs = [("/x".into(), String::new())].into();
        assert!(plan(&config, &both, &nobody).is_err());
        let mut both = host(&["/a:/x"]);
        both.mounts =
            vec![MountConfig { r#type: "tmpfs".into(), target: "/x".into(), ..MountConfig::default() }];
        assert!(plan(&config, &both, &nobody).is_err());
    }

    #[test]
    fn volumes_of_others_come_first_and_yield() {
        let others = |name: &str| -> Result<Vec<Planned>, String> {
            let volume = |target: &str| Planned {
                mount: MountConfig {
                    r#type: "volume".into(),
                    source: format!("{name}{}", target.replace('/', "-")),
                    target: target.into(),
                    ..MountConfig::default()
                },
                anonymous: true,
                ..Planned::default()
            };
            Ok(vec![volume("/a"), volume("/b")])
        };
        let mut host = host(&["/srv:/b"]);
        host.volumes_from = vec!["one".into(), "two:ro".into()];
        let planned = plan(&ContainerConfig::default(), &host, &others).unwrap();
        assert_eq!(targets(&planned), [("volume", "two-a", "/a"), ("bind", "/srv", "/b")]);
        assert!(planned[0].mount.read_only && !planned[0].anonymous);
        host.volumes_from = vec!["one:fast".into()];
        assert!(
            plan(&ContainerConfig::default(), &host, &others)
                .unwrap_err()
                .to_string()
                .contains("use ro or rw")
        );
    }
}
