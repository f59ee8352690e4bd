//! `--mount`, `--volume` and `--tmpfs`.

use std::path::Path;

use engine::config::{BindOptions, MountConfig, StringMap, TmpfsOptions, VolumeDriver, VolumeOptions};

use crate::commands::flags::boolean;
use crate::commands::values::{bytes, csv, key_value};

/// The value of `--mount`.
pub fn parse(text: &str) -> Result<MountConfig, String> {
    let mut mount = MountConfig { r#type: "volume".to_owned(), ..MountConfig::default() };
    for field in csv(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            (
                "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src" | "idmap",
                None,
            ) => {
                set(&mut mount, &key, "true", &field)?;
            }
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            (key, Some(value)) => set(&mut mount, key, value, &field)?,
        }
    }
    if mount.r#type == "bind" {
        mount.source = absolute(&mount.source);
    }
    check(&mount)?;
    Ok(mount)
}

fn set(mount: &mut MountConfig, key: &str, value: &str, field: &str) -> Result<(), String> {
    let wrong = || format!("invalid value for {key}: {value}");
    let truth = || boolean(value).map_err(|_| wrong());
    match key {
        "type" => mount.r#type = value.to_ascii_lowercase(),
        "source" | "src" => mount.source = value.to_owned(),
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = truth()?,
        "consistency" => mount.consistency = value.to_ascii_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_ascii_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = truth()?,
        "bind-create-src" => bind(mount).create_mountpoint = truth()?,
        "bind-recursive" => recursive(bind(mount), value).ok_or_else(|| {
            format!("{} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")", wrong())
        })?,
        "idmap" if value == "false" => bind(mount).id_map = String::new(),
        "idmap" => {
            bind(mount).id_map = if value == "true" { "idmap".into() } else { format!("idmap={value}") }
        }
        "volume-subpath" => volume(mount).subpath = value.to_owned(),
        "volume-nocopy" => volume(mount).no_copy = truth()?,
        "volume-label" => {
            let (label, value) = key_value(value);
            volume(mount).labels.insert(label, value);
        }
        "volume-driver" => driver(mount).name = value.to_owned(),
        "volume-opt" => {
            let (option, value) = key_value(value);
            driver(mount).options.insert(option, value);
        }
        "image-subpath" => {
            mount.image_options.get_or_insert_default().subpath = value.to_owned();
        }
        "tmpfs-size" => tmpfs(mount).size_bytes = bytes(value).map_err(|_| wrong())?,
        "tmpfs-mode" => tmpfs(mount).mode = Some(u32::from_str_radix(value, 8).map_err(|_| wrong())?),
        "tmpfs-opt" => {
            tmpfs(mount).options.push(value.splitn(2, '=').map(str::to_owned).collect());
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn bind(mount: &mut MountConfig) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut MountConfig) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut MountConfig) -> &mut VolumeDriver {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut MountConfig) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

/// What happens with mounts below the source; nothing where `value` is not known.
fn recursive(options: &mut BindOptions, value: &str) -> Option<()> {
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => return None,
    }
    Some(())
}

fn check(mount: &MountConfig) -> Result<(), String> {
    let kind = mount.r#type.as_str();
    if kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if !matches!(kind, "bind" | "volume" | "tmpfs" | "image") {
        return Err(format!("invalid mount type {kind:?}: expected bind, volume, tmpfs or image"));
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    for (options, given) in [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("image", mount.image_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ] {
        if given && options != kind {
            return Err(format!("cannot mix '{options}-*' options with mount type '{kind}'"));
        }
    }
    if mount.source.is_empty() && matches!(kind, "bind" | "image") {
        return Err(format!("source is required for mount type '{kind}'"));
    }
    if !mount.source.is_empty() && kind == "tmpfs" {
        return Err("source has no meaning for mount type 'tmpfs'".to_owned());
    }
    let forced = mount.bind_options.as_ref().filter(|options| options.read_only_force_recursive);
    if let Some(options) = forced {
        let needs = |what| {
            Err(format!("option 'bind-recursive=readonly' requires {what} to be specified in conjunction"))
        };
        if !mount.read_only {
            return needs("'readonly'");
        }
        if options.propagation != "rprivate" {
            return needs("'bind-propagation=rprivate'");
        }
    }
    Ok(())
}

/// The value of `--volume`: a bind or a named volume, or else the path of an anonymous volume.
#[derive(Debug, PartialEq, Eq)]
pub enum Volume {
    /// `SOURCE:DESTINATION[:OPTIONS]`
    Bind(String),
    /// A path in the container.
    Anonymous(String),
}

/// Reads the value of `--volume`. What it names is judged when the container is made.
pub fn parse_volume(text: &str) -> Result<Volume, String> {
    let mut parts = text.split(':');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if text.is_empty() || text.split(':').any(str::is_empty) {
        return Err(format!("invalid spec: {text}: empty section between colons"));
    }
    if parts.count() > 1 {
        return Err(format!("invalid spec: {text}: too many colons"));
    }
    let Some(_) = second else { return Ok(Volume::Anonymous(text.to_owned())) };
    Ok(Volume::Bind(format!("{}{}", absolute(first), &text[first.len()..])))
}

/// A path that begins at the working directory, `.` or `..`, as an absolute one. Others may be names.
pub fn absolute(path: &str) -> String {
    if !path.starts_with('.') {
        return path.to_owned();
    }
    let absolute = std::path::absolute(Path::new(path)).ok();
    let Some(absolute) = absolute.as_deref().map(lexical) else { return path.to_owned() };
    absolute.to_str().map_or_else(|| path.to_owned(), str::to_owned)
}

/// Without `..`, as Go cleans paths: by their text alone.
fn lexical(path: &Path) -> std::path::PathBuf {
    let mut clean = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// The value of `--tmpfs`: `PATH[:OPTIONS]`.
pub fn add_tmpfs(tmpfs: &mut StringMap, text: &str) -> Result<(), String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Err(format!("invalid tmpfs mount {text:?}: the path must be absolute"));
    }
    tmpfs.insert(path.to_owned(), options.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_every_type() {
        let bind =
            parse("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave,bind-recursive=disabled").unwrap();
        assert_eq!((bind.source.as_str(), bind.target.as_str(), bind.read_only), ("/a", "/b", true));
        let options = bind.bind_options.unwrap();
        assert!(options.propagation == "rslave" && options.non_recursive);

        let volume =
            parse("source=data,target=/d,volume-nocopy,volume-subpath=x,volume-label=a=1,volume-opt=o=\"b\"");
        assert!(volume.is_err(), "a quote within a field");
        let volume = parse(
            "source=data,target=/d,volume-nocopy,volume-label=a=b=1,\"volume-opt=o=x,y\",volume-driver=local",
        )
        .unwrap();
        let options = volume.volume_options.unwrap();
        assert!(volume.r#type == "volume" && options.no_copy && options.labels["a"] == "b=1");
        assert_eq!(options.driver_config.unwrap().options["o"], "x,y");

        let tmpfs = parse("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        let options = tmpfs.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1 << 20, Some(0o1770)));

        let image = parse("type=image,source=app,target=/i,image-subpath=usr").unwrap();
        assert_eq!(image.image_options.unwrap().subpath, "usr");

        let mapped = parse("type=bind,src=/a,dst=/b,idmap=uids=0-1000-1").unwrap();
        assert_eq!(mapped.bind_options.unwrap().id_map, "idmap=uids=0-1000-1");
    }

    #[test]
    fn paths_below_the_working_directory_become_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(parse("type=bind,src=./x,dst=/b").unwrap().source, here.join("x").to_str().unwrap());
        let bind = parse_volume("./x/../y:/b:ro").unwrap();
        assert_eq!(bind, Volume::Bind(format!("{}:/b:ro", here.join("y").display())));
        assert_eq!(parse_volume("name:/b"), Ok(Volume::Bind("name:/b".into())));
        assert_eq!(parse_volume("/b"), Ok(Volume::Anonymous("/b".into())));
    }

    #[test]
    fn contradictions_are_told() {
        for (text, told) in [
            ("type=bind,src=/a", "target is required"),
            ("type=bind,dst=/a", "source is required for mount type 'bind'"),
            ("type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
            ("dst=/b,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
            ("dst=/b,nonsense", "invalid field 'nonsense' must be a key=value pair"),
            ("dst=/b,colour=red", "unexpected key 'colour' in 'colour=red'"),
            ("dst=/b,ro=perhaps", "invalid value for ro: perhaps"),
            ("type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("type=pipe,dst=/b", "invalid mount type \"pipe\": expected bind, volume, tmpfs or image"),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=sometimes",
                "invalid value for bind-recursive: sometimes (must be \"enabled\", \"disabled\", \"writable\", or \
                 \"readonly\")",
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=readonly",
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), told, "{text}");
        }
        for wrong in ["", ":/b", "a:", "a::b", "a:b:c:d"] {
            assert!(parse_volume(wrong).is_err(), "{wrong}");
        }
    }
}
