//! `--mount` and the API's `Mounts`: which fields go together.

use crate::config::MountConfig;
use crate::spec::clean;
use crate::volumes;

use super::bind::check_target;
use super::{MountError, idmap, subpath, tmpfs};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// Checks one mount and cleans its paths.
///
/// # Errors
/// Fields that contradict each other, or are missing.
pub fn check(mount: &mut MountConfig) -> Result<(), MountError> {
    let kind = mount.r#type.clone();
    let checked = check_target(&mount.target)
        .map_err(
            |problem| if mount.target.is_empty() { "field Target must not be empty".into() } else { problem },
        )
        .and_then(|()| fields(mount))
        .and_then(|()| match kind.as_str() {
            "bind" => bind(mount),
            "volume" => volume(mount),
            "tmpfs" => tmpfs(mount),
            "image" => image(mount),
            "" => Err("mount type unknown: use bind, volume, tmpfs or image".into()),
            other => Err(format!("mount type unknown: \"{other}\": use bind, volume, tmpfs or image")),
        });
    checked.map_err(|problem| MountError::Config { kind, problem })?;
    mount.target = clean(&mount.target);
    Ok(())
}

/// The options of one type are not for another.
fn fields(mount: &MountConfig) -> Result<(), String> {
    for (kind, field, given) in [
        ("bind", "BindOptions", mount.bind_options.is_some()),
        ("volume", "VolumeOptions", mount.volume_options.is_some()),
        ("tmpfs", "TmpfsOptions", mount.tmpfs_options.is_some()),
        ("image", "ImageOptions", mount.image_options.is_some()),
    ] {
        if given && mount.r#type != kind {
            return Err(format!("field {field} must not be specified"));
        }
    }
    Ok(())
}

fn bind(mount: &mut MountConfig) -> Result<(), String> {
    if mount.source.is_empty() {
        return Err("field Source must not be empty".into());
    }
    if !mount.source.starts_with('/') {
        return Err(format!("invalid mount path: '{}' mount path must be absolute", mount.source));
    }
    mount.source = clean(&mount.source);
    let Some(options) = &mount.bind_options else { return Ok(()) };
    let propagation = options.propagation.as_str();
    if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation) {
        return Err(format!(
            "invalid propagation mode: {propagation}: use one of {}",
            PROPAGATIONS.join(", ")
        ));
    }
    if options.read_only_force_recursive {
        if !mount.read_only {
            return Err("bind-recursive=readonly needs readonly".into());
        }
        if options.non_recursive || options.read_only_non_recursive {
            return Err("bind-recursive=readonly contradicts a bind that is not recursive".into());
        }
        if !matches!(propagation, "" | "rprivate") {
            return Err(format!(
                "bind-recursive=readonly needs bind-propagation=rprivate, not {propagation}"
            ));
        }
    }
    if options.read_only_non_recursive && !mount.read_only {
        return Err("bind-recursive=writable needs readonly".into());
    }
    idmap::parse(&options.id_map).map(drop)
}

fn volume(mount: &MountConfig) -> Result<(), String> {
    if mount.source.is_empty() && mount.read_only {
        return Err("must not set ReadOnly mode when using anonymous volumes".into());
    }
    if !mount.source.is_empty() {
        volumes::check_name(&mount.source).map_err(|error| error.to_string())?;
    }
    let Some(options) = &mount.volume_options else { return Ok(()) };
    if let Some(driver) = &options.driver_config {
        volumes::check_driver(&driver.name, &driver.options).map_err(|error| error.to_string())?;
    }
    subpath::check(&options.subpath)?;
    if mount.source.is_empty() && !options.subpath.is_empty() {
        return Err("must not set Subpath when using anonymous volumes".into());
    }
    Ok(())
}

fn tmpfs(mount: &MountConfig) -> Result<(), String> {
    if !mount.source.is_empty() {
        return Err("field Source must not be specified".into());
    }
    tmpfs::of_config(mount).map(drop).map_err(|error| error.to_string())
}

fn image(mount: &mut MountConfig) -> Result<(), String> {
    if mount.source.is_empty() {
        return Err("field Source must not be empty".into());
    }
    mount.read_only = true;
    subpath::check(mount.image_options.as_ref().map_or("", |options| &options.subpath))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BindOptions, ImageOptions, TmpfsOptions, VolumeOptions};

    fn error(mut mount: MountConfig) -> String {
        check(&mut mount).unwrap_err().to_string()
    }

    fn of(kind: &str, source: &str, target: &str) -> MountConfig {
        MountConfig {
            r#type: kind.into(),
            source: source.into(),
            target: target.into(),
            ..MountConfig::default()
        }
    }

    #[test]
    fn sound_mounts_are_cleaned() {
        let mut bind = of("bind", "/a/./b", "/c//d/");
        check(&mut bind).unwrap();
        assert_eq!((bind.source.as_str(), bind.target.as_str()), ("/a/b", "/c/d"));
        let mut image = of("image", "alpine", "/i");
        check(&mut image).unwrap();
        assert!(image.read_only);
        for mut mount in [of("volume", "", "/v"), of("volume", "data", "/v"), of("tmpfs", "", "/t")] {
            check(&mut mount).unwrap();
        }
    }

    #[test]
    fn wrong_combinations_are_named() {
        let bind = |options| MountConfig { bind_options: Some(options), ..of("bind", "/a", "/b") };
        let subpath = |path: &str| Some(VolumeOptions { subpath: path.into(), ..VolumeOptions::default() });
        for (mount, part) in [
            (of("bind", "/a", ""), "invalid mount config for type \"bind\": field Target must not be empty"),
            (of("bind", "", "/b"), "field Source must not be empty"),
            (of("bind", "a", "/b"), "'a' mount path must be absolute"),
            (of("floppy", "a", "/b"), "mount type unknown: \"floppy\""),
            (of("tmpfs", "a", "/b"), "field Source must not be specified"),
            (of("image", "", "/b"), "field Source must not be empty"),
            (MountConfig { read_only: true, ..of("volume", "", "/b") }, "anonymous volumes"),
            (
                MountConfig { tmpfs_options: Some(TmpfsOptions::default()), ..of("bind", "/a", "/b") },
                "TmpfsOptions",
            ),
            (MountConfig { volume_options: subpath("../x"), ..of("volume", "vol", "/b") }, "../x"),
            (MountConfig { volume_options: subpath("x"), ..of("volume", "", "/b") }, "Subpath"),
            (
                MountConfig {
                    image_options: Some(ImageOptions { subpath: "/x".into() }),
                    ..of("image", "i", "/b")
                },
                "relative",
            ),
            (bind(BindOptions { propagation: "loud".into(), ..BindOptions::default() }), "loud"),
            (
                bind(BindOptions { read_only_force_recursive: true, ..BindOptions::default() }),
                "needs readonly",
            ),
            (bind(BindOptions { id_map: "idmap=x".into(), ..BindOptions::default() }), "idmap"),
        ] {
            let error = error(mount);
            assert!(error.contains(part), "{error}");
        }
    }
}
