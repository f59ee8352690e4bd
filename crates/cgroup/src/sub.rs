use crate::Error;

/// Where below the container's group a process goes: the arguments of `exec --cgroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubPath(Vec<(String, String)>);

impl SubPath {
    /// Parses either one `PATH`, which holds for every hierarchy, or any number of
    /// `CONTROLLER[,CONTROLLER…]:PATH`.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<Self, Error> {
        let mut parts: Vec<(String, String)> = Vec::new();
        for argument in arguments.iter().map(AsRef::as_ref) {
            let bad = || Error::InvalidSubPath(argument.to_owned());
            let (controllers, path) = match argument.split_once(':') {
                Some((controllers, path)) if !controllers.is_empty() => (controllers, path),
                None if arguments.len() == 1 => ("", argument),
                _ => return Err(bad()),
            };
            if path.split('/').any(|component| component == "..") {
                return Err(bad());
            }
            for controller in controllers.split(',') {
                let twice = parts.iter().any(|(known, _)| known == controller);
                if twice || (controller.is_empty() && !controllers.is_empty()) {
                    return Err(bad());
                }
                parts.push((controller.to_owned(), path.to_owned()));
            }
        }
        Ok(Self(parts))
    }

    /// Whether the process goes to the container's own group.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(controller, path)| (controller.as_str(), path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_path_or_one_for_each_controller() {
        let parts = |arguments: &[&str]| SubPath::parse(arguments).map(|sub| sub.0);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parts(&[]).unwrap(), []);
        assert_eq!(parts(&["x/y"]).unwrap(), [pair("", "x/y")]);
        let expected = [pair("cpu", "a"), pair("memory", "a"), pair("pids", "/b")];
        assert_eq!(parts(&["cpu,memory:a", "pids:/b"]).unwrap(), expected);
        for bad in [&["x", "y"][..], &["cpu:a", "cpu:b"], &[":a"], &["cpu,:a"], &["../x"], &["a/../b"]] {
            assert!(parts(bad).is_err(), "{bad:?}");
        }
    }
}
