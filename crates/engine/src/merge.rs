//! What an image says and what is asked for, put together by Docker's rules.

use oci::image::config::{ContainerConfig as ImageDefaults, Healthcheck};

use crate::config::ContainerConfig;

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no command specified: neither the image nor the command line has one")]
pub struct NoCommand;

/// Completes what is asked for by what the image says.
///
/// # Errors
/// There is neither an entry point nor a command.
pub fn merge(asked: &mut ContainerConfig, image: &ImageDefaults) -> Result<(), NoCommand> {
    inherit(&mut asked.user, &image.user);
    inherit(&mut asked.working_dir, &image.working_dir);
    for (port, empty) in &image.exposed_ports {
        asked.exposed_ports.entry(port.clone()).or_insert(*empty);
    }
    for (path, empty) in &image.volumes {
        asked.volumes.entry(path.clone()).or_insert(*empty);
    }
    for (label, value) in &image.labels {
        asked.labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
    merge_env(&mut asked.env, &image.env);
    merge_command(asked, image);
    if asked.stop_signal.as_deref().is_none_or(str::is_empty) {
        asked.stop_signal.clone_from(&image.stop_signal);
    }
    if asked.shell.as_deref().is_none_or(<[_]>::is_empty) {
        asked.shell.clone_from(&image.shell);
    }
    if let Some(image) = &image.healthcheck {
        merge_healthcheck(asked.healthcheck.get_or_insert_default(), image);
    }
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if has(&asked.entrypoint) || has(&asked.cmd) { Ok(()) } else { Err(NoCommand) }
}

fn inherit(asked: &mut String, image: &str) {
    if asked.is_empty() {
        image.clone_into(asked);
    }
}

/// The name of `NAME=value` or of `NAME` alone.
fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// The image's variables come last, as in Docker's `inspect`; what names one of them, with a value or without, hides it.
fn merge_env(asked: &mut Vec<String>, image: &[String]) {
    let added: Vec<String> = image
        .iter()
        .filter(|variable| !asked.iter().any(|own| name(own) == name(variable)))
        .cloned()
        .collect();
    asked.extend(added);
}

/// An entry point that is given drops the image's command, which would be arguments to another program. `[""]` is the
/// command line's way to say "none".
fn merge_command(asked: &mut ContainerConfig, image: &ImageDefaults) {
    if asked.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if asked.cmd.as_ref().is_none_or(Vec::is_empty) {
            asked.cmd.clone_from(&image.cmd);
        }
        if asked.entrypoint.is_none() {
            asked.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if asked.entrypoint.as_deref() == Some(&[String::new()]) {
        asked.entrypoint = None;
    }
}

/// Each field that is not given is the image's. A test `NONE` is given, and ends all checks.
fn merge_healthcheck(asked: &mut Healthcheck, image: &Healthcheck) {
    if asked.test.is_empty() {
        asked.test.clone_from(&image.test);
    }
    let fields = [
        (&mut asked.interval, image.interval),
        (&mut asked.timeout, image.timeout),
        (&mut asked.start_period, image.start_period),
        (&mut asked.start_interval, image.start_interval),
        (&mut asked.retries, image.retries),
    ];
    for (field, inherited) in fields {
        if *field == 0 {
            *field = inherited;
        }
    }
}

/// The variables in force, the later ones over the earlier: those of `NAME` alone are taken away.
pub fn effective_env(defaults: &[String], asked: &[String]) -> Vec<String> {
    let mut env: Vec<String> = defaults.to_vec();
    for variable in asked {
        let place = env.iter().position(|earlier| name(earlier) == name(variable));
        match (place, variable.contains('=')) {
            (Some(at), true) => env[at].clone_from(variable),
            (None, true) => env.push(variable.clone()),
            (Some(at), false) => drop(env.remove(at)),
            (None, false) => {}
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use oci::image::config::Empty;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn image() -> ImageDefaults {
        ImageDefaults {
            user: "www".into(),
            env: words(&["PATH=/bin", "LANG=C", "GONE=1"]),
            entrypoint: Some(words(&["/entry"])),
            cmd: Some(words(&["serve"])),
            working_dir: "/srv".into(),
            stop_signal: Some("SIGQUIT".into()),
            ..ImageDefaults::default()
        }
    }

    fn command(
        entrypoint: Option<&[&str]>,
        cmd: Option<&[&str]>,
    ) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let mut asked = ContainerConfig {
            entrypoint: entrypoint.map(words),
            cmd: cmd.map(words),
            ..ContainerConfig::default()
        };
        merge(&mut asked, &image()).unwrap();
        (asked.entrypoint, asked.cmd)
    }

    #[test]
    fn what_is_not_asked_for_is_the_images() {
        let mut asked = ContainerConfig::default();
        merge(&mut asked, &image()).unwrap();
        assert_eq!((asked.user.as_str(), asked.working_dir.as_str()), ("www", "/srv"));
        assert_eq!(asked.stop_signal.as_deref(), Some("SIGQUIT"));
        let mut asked = ContainerConfig { user: "0".into(), ..ContainerConfig::default() };
        merge(&mut asked, &image()).unwrap();
        assert_eq!(asked.user, "0");
    }

    #[test]
    fn an_entry_point_drops_the_images_command() {
        let both = (Some(words(&["/entry"])), Some(words(&["serve"])));
        assert_eq!(command(None, None), both);
        assert_eq!(command(None, Some(&["x"])), (both.0.clone(), Some(words(&["x"]))));
        assert_eq!(command(Some(&["/e"]), None), (Some(words(&["/e"])), None));
        assert_eq!(command(Some(&["/e"]), Some(&["x"])), (Some(words(&["/e"])), Some(words(&["x"]))));
        assert_eq!(command(Some(&[]), None), (Some(vec![]), both.1));
        // `--entrypoint ""` with a command runs the command alone.
        assert_eq!(command(Some(&[""]), Some(&["x"])), (None, Some(words(&["x"]))));
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        let mut asked = ContainerConfig { entrypoint: Some(words(&[""])), ..ContainerConfig::default() };
        assert_eq!(merge(&mut asked, &image()), Err(NoCommand));
        assert_eq!(merge(&mut ContainerConfig::default(), &ImageDefaults::default()), Err(NoCommand));
    }

    #[test]
    fn variables_are_merged_by_name() {
        let mut asked =
            ContainerConfig { env: words(&["LANG=de", "GONE", "NEW=1"]), ..ContainerConfig::default() };
        merge(&mut asked, &image()).unwrap();
        assert_eq!(asked.env, words(&["LANG=de", "GONE", "NEW=1", "PATH=/bin"]));
        let env = effective_env(&words(&["PATH=/sbin", "HOME=/", "GONE=0"]), &asked.env);
        assert_eq!(env, words(&["PATH=/bin", "HOME=/", "LANG=de", "NEW=1"]));
    }

    #[test]
    fn labels_volumes_and_ports_are_united() {
        let mut image = image();
        image.labels = [("a".into(), "image".into()), ("b".into(), "image".into())].into();
        image.volumes = [("/data".into(), Empty {})].into();
        image.exposed_ports = [("80/tcp".into(), Empty {})].into();
        let mut asked = ContainerConfig {
            labels: [("a".into(), "own".into())].into(),
            volumes: [("/more".into(), Empty {})].into(),
            ..ContainerConfig::default()
        };
        merge(&mut asked, &image).unwrap();
        assert_eq!(asked.labels, [("a".into(), "own".into()), ("b".into(), "image".into())].into());
        assert_eq!(asked.volumes.len(), 2);
        assert!(asked.exposed_ports.contains_key("80/tcp"));
    }

    #[test]
    fn fields_of_a_health_check_are_inherited_one_by_one() {
        let mut image = image();
        let check =
            Healthcheck { test: words(&["CMD", "true"]), interval: 5, retries: 3, ..Healthcheck::default() };
        image.healthcheck = Some(check.clone());
        let mut asked = ContainerConfig::default();
        merge(&mut asked, &image).unwrap();
        assert_eq!(asked.healthcheck, Some(check));
        let own = Healthcheck { test: words(&["NONE"]), interval: 7, ..Healthcheck::default() };
        let mut asked = ContainerConfig { healthcheck: Some(own), ..ContainerConfig::default() };
        merge(&mut asked, &image).unwrap();
        let merged = asked.healthcheck.unwrap();
        assert_eq!((merged.test, merged.interval, merged.retries), (words(&["NONE"]), 7, 3));
    }
}
