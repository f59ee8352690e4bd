//! `mounts`.

use super::{Checked, Host, invalid, no_nul};
use crate::spec::Mount;

pub(super) fn check(mounts: &[Mount], host: &Host) -> Checked {
    for (i, mount) in mounts.iter().enumerate() {
        let at = |field: &str| format!("mounts[{i}].{field}");
        if mount.destination.is_empty() {
            return Err(invalid(at("destination"), "must not be empty"));
        }
        no_nul(&mount.destination, || at("destination"))?;
        no_nul(&mount.source, || at("source"))?;
        no_nul(&mount.kind, || at("type"))?;
        for (j, option) in mount.options.iter().enumerate() {
            no_nul(option, || at(&format!("options[{j}]")))?;
        }
        id_map(mount, host, &at)?;
    }
    Ok(())
}

/// An id map belongs to a bind, and has both halves or is that of the container.
fn id_map(mount: &Mount, host: &Host, at: &dyn Fn(&str) -> String) -> Checked {
    let has_option = |wanted: &[&str]| mount.options.iter().any(|option| wanted.contains(&option.as_str()));
    let (uids, gids) = (!mount.uid_mappings.is_empty(), !mount.gid_mappings.is_empty());
    if !uids && !gids && !has_option(&["idmap", "ridmap"]) {
        return Ok(());
    }
    let field = if uids || !gids { "uidMappings" } else { "gidMappings" };
    if mount.kind != "bind" && !has_option(&["bind", "rbind"]) {
        return Err(invalid(at(field), "id-mapped mounts are only supported for bind-mounts"));
    }
    if host.rootless {
        return Err(invalid(at(field), "id-mapped mounts are not supported for rootless containers"));
    }
    if uids != gids {
        let missing = if uids { "gidMappings" } else { "uidMappings" };
        return Err(invalid(at(missing), "id-mapped mounts must have both uid and gid mappings specified"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::tests::{spoilt, spoilt_on};

    #[test]
    fn text() {
        let mount = |field: &str, value| spoilt(&[(&format!("/mounts/0/{field}"), value)]);
        assert_eq!(mount("destination", json!("")), "mounts[0].destination");
        assert_eq!(mount("destination", json!("/a\0")), "mounts[0].destination");
        assert_eq!(mount("destination", json!("relative")), "");
        assert_eq!(mount("source", json!("\0")), "mounts[0].source");
        assert_eq!(mount("type", json!("\0")), "mounts[0].type");
        assert_eq!(mount("options", json!(["ro", "a\0"])), "mounts[0].options[1]");
    }

    #[test]
    fn id_maps() {
        let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
        let mount = |host: &Host, kind: &str, uids: &Value, gids: &Value| {
            let mount = json!({ "destination": "/m", "source": "/", "options": [kind],
                                "uidMappings": uids, "gidMappings": gids });
            let user = json!([{ "type": "mount" }, { "type": "uts" }, { "type": "user", "path": "/p" }]);
            spoilt_on(host, &[("/mounts/0", mount), ("/linux/namespaces", user)])
        };
        let root = Host::default();
        let rootless = Host { rootless: true, ..root };
        assert_eq!(mount(&root, "rbind", &map, &map), "");
        assert_eq!(mount(&root, "ro", &map, &map), "mounts[0].uidMappings");
        assert_eq!(mount(&root, "bind", &map, &Value::Null), "mounts[0].gidMappings");
        assert_eq!(mount(&root, "bind", &Value::Null, &map), "mounts[0].uidMappings");
        assert_eq!(mount(&rootless, "bind", &map, &map), "mounts[0].uidMappings");
        assert_eq!(mount(&root, "idmap", &Value::Null, &Value::Null), "mounts[0].uidMappings");
    }
}
