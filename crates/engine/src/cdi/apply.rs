//! Edits, applied to a container's configuration.

use oci::spec::resources::DeviceRule;
use oci::spec::{Device, Hook, Hooks, Mount, Spec};
use rustix::fs::{FileType, major, minor};

use super::document::{DeviceNode, EditHook, EditMount};
use super::{CdiError, ContainerEdits};

/// Changes a configuration.
///
/// # Errors
/// A device node that is not on the host, or a hook of another name.
pub fn apply(spec: &mut Spec, edits: &ContainerEdits) -> Result<(), CdiError> {
    for node in &edits.device_nodes {
        add_node(spec, node)?;
    }
    for mount in &edits.mounts {
        add_mount(spec, mount);
    }
    for hook in &edits.hooks {
        add_hook(spec.hooks.get_or_insert_default(), hook)?;
    }
    if let Some(process) = &mut spec.process {
        process.env = crate::merge::effective_env(&process.env, &edits.env);
        for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
            if !process.user.additional_gids.contains(gid) {
                process.user.additional_gids.push(*gid);
            }
        }
    }
    Ok(())
}

fn add_node(spec: &mut Spec, node: &DeviceNode) -> Result<(), CdiError> {
    let device = device(node)?;
    let linux = spec.linux.get_or_insert_default();
    linux.devices.retain(|earlier| earlier.path != device.path);
    if matches!(device.kind.as_str(), "b" | "c") {
        linux.resources.get_or_insert_default().devices.push(DeviceRule {
            allow: true,
            kind: device.kind.clone(),
            major: Some(device.major),
            minor: Some(device.minor),
            access: node.permissions.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "rwm".into()),
        });
    }
    linux.devices.push(device);
    Ok(())
}

/// The node; type and numbers are those of the host's where they are not said.
fn device(node: &DeviceNode) -> Result<Device, CdiError> {
    let fail = |problem: String| CdiError::Node { path: node.path.clone(), problem };
    if !node.path.starts_with('/') {
        return Err(fail("the path is not absolute".into()));
    }
    let mut device = Device {
        path: node.path.clone(),
        kind: node.r#type.clone().unwrap_or_default(),
        major: node.major.unwrap_or_default(),
        minor: node.minor.unwrap_or_default(),
        file_mode: node.file_mode,
        uid: node.uid,
        gid: node.gid,
    };
    let is_known =
        !device.kind.is_empty() && (device.kind == "p" || node.major.is_some_and(|major| major != 0));
    if !is_known {
        let host = node.host_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&node.path);
        let stat = rustix::fs::stat(host).map_err(|errno| fail(format!("stat {host}: {errno}")))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => "c",
            FileType::BlockDevice => "b",
            FileType::Fifo => "p",
            _ => return Err(fail(format!("{host} is no device"))),
        };
        if !device.kind.is_empty() && device.kind != kind {
            return Err(fail(format!("{host} is of type {kind}, not {}", device.kind)));
        }
        device.kind = kind.into();
        (device.major, device.minor) = (major(stat.st_rdev).into(), minor(stat.st_rdev).into());
        device.file_mode = device.file_mode.or(Some(stat.st_mode & 0o7777));
    }
    Ok(device)
}

fn add_mount(spec: &mut Spec, mount: &EditMount) {
    spec.mounts.retain(|earlier| earlier.destination != mount.container_path);
    let mut options = mount.options.clone();
    if !options.iter().any(|option| option == "bind" || option == "rbind") && mount.r#type.is_none() {
        options.push("rbind".into());
    }
    spec.mounts.push(Mount {
        destination: mount.container_path.clone(),
        kind: mount.r#type.clone().unwrap_or_else(|| "bind".into()),
        source: mount.host_path.clone(),
        options,
        ..Mount::default()
    });
}

fn add_hook(hooks: &mut Hooks, hook: &EditHook) -> Result<(), CdiError> {
    let list = match hook.hook_name.as_str() {
        "prestart" => &mut hooks.prestart,
        "createRuntime" => &mut hooks.create_runtime,
        "createContainer" => &mut hooks.create_container,
        "startContainer" => &mut hooks.start_container,
        "poststart" => &mut hooks.poststart,
        "poststop" => &mut hooks.poststop,
        other => {
            let problem = format!("there is no hook {other:?}");
            return Err(CdiError::File { path: hook.path.clone(), problem });
        }
    };
    let EditHook { path, args, env, timeout, .. } = hook.clone();
    list.push(Hook { path, args, env, timeout });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(edits: &ContainerEdits) -> Result<Spec, CdiError> {
        let mut spec = Spec { process: Some(Default::default()), ..Spec::default() };
        apply(&mut spec, edits).map(|()| spec)
    }

    #[test]
    fn a_node_is_completed_from_the_host() {
        let node = DeviceNode {
            path: "/dev/my".into(),
            host_path: Some("/dev/null".into()),
            ..DeviceNode::default()
        };
        let spec = edited(&ContainerEdits { device_nodes: vec![node.clone()], ..ContainerEdits::default() })
            .unwrap();
        let linux = spec.linux.unwrap();
        let device = &linux.devices[0];
        assert_eq!(
            (device.path.as_str(), device.kind.as_str(), device.major, device.minor),
            ("/dev/my", "c", 1, 3)
        );
        assert_eq!(linux.resources.unwrap().devices[0].access, "rwm");
        let missing = DeviceNode { host_path: Some("/dev/none".into()), ..node };
        let error =
            edited(&ContainerEdits { device_nodes: vec![missing], ..ContainerEdits::default() }).unwrap_err();
        assert!(error.to_string().contains("/dev/none"), "{error}");
    }

    #[test]
    fn all_parts_are_added() {
        let edits = ContainerEdits {
            env: vec!["A=1".into()],
            mounts: vec![EditMount {
                host_path: "/l".into(),
                container_path: "/m".into(),
                ..EditMount::default()
            }],
            hooks: vec![EditHook {
                hook_name: "createContainer".into(),
                path: "/h".into(),
                ..EditHook::default()
            }],
            additional_gids: vec![0, 44],
            ..ContainerEdits::default()
        };
        let spec = edited(&edits).unwrap();
        let process = spec.process.unwrap();
        assert_eq!((process.env, process.user.additional_gids), (vec!["A=1".to_owned()], vec![44]));
        assert_eq!((spec.mounts[0].kind.as_str(), spec.mounts[0].options[0].as_str()), ("bind", "rbind"));
        assert_eq!(spec.hooks.unwrap().create_container.len(), 1);
        let hook = EditHook { hook_name: "later".into(), ..EditHook::default() };
        assert!(edited(&ContainerEdits { hooks: vec![hook], ..ContainerEdits::default() }).is_err());
    }
}
