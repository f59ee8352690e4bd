//! The files of all vendors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{CdiError, ContainerEdits, Document, split};

/// Where files are, later ones count more.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// What is known of devices.
#[derive(Debug, Default)]
pub struct Registry {
    directories: Vec<PathBuf>,
    /// By full name: the file, and its number among the documents.
    devices: BTreeMap<String, (PathBuf, usize)>,
    documents: Vec<Document>,
    /// Files that can't be read matter where a device is missing.
    problems: Vec<CdiError>,
}

impl Registry {
    /// Reads the host's files.
    ///
    /// # Errors
    /// A device is in two files of one directory.
    pub fn read() -> Result<Registry, CdiError> {
        Registry::read_from(&DIRECTORIES.map(PathBuf::from))
    }

    /// Reads the files of some directories.
    ///
    /// # Errors
    /// A device is in two files of one directory.
    pub fn read_from(directories: &[PathBuf]) -> Result<Registry, CdiError> {
        let mut registry = Registry { directories: directories.to_vec(), ..Registry::default() };
        for directory in directories {
            registry.read_directory(directory)?;
        }
        Ok(registry)
    }

    fn read_directory(&mut self, directory: &Path) -> Result<(), CdiError> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| {
            path.extension().is_some_and(|extension| extension == "json" || extension == "yaml")
        });
        paths.sort_unstable();
        for path in paths {
            match Document::read(&path) {
                Ok(document) => self.add(directory, path, document)?,
                Err(problem) => self.problems.push(problem),
            }
        }
        Ok(())
    }

    fn add(&mut self, directory: &Path, path: PathBuf, document: Document) -> Result<(), CdiError> {
        for device in &document.devices {
            let name = format!("{}={}", document.kind, device.name);
            let earlier = self.devices.insert(name.clone(), (path.clone(), self.documents.len()));
            if let Some((other, _)) = earlier.filter(|(other, _)| other.parent() == Some(directory)) {
                return Err(CdiError::Conflict(
                    name,
                    other.display().to_string(),
                    path.display().to_string(),
                ));
            }
        }
        self.documents.push(document);
        Ok(())
    }

    /// What is to be done for devices: for each file what all its devices need, once, then what each needs.
    ///
    /// # Errors
    /// A name that is none, or that no file has.
    pub fn edits(mut self, names: &[String]) -> Result<Vec<ContainerEdits>, CdiError> {
        let (mut edits, mut seen) = (Vec::new(), Vec::new());
        for name in names {
            let (_, short) = split(name).ok_or_else(|| CdiError::Name(name.clone()))?;
            let Some((_, number)) = self.devices.get(name) else { return Err(self.unknown(name)) };
            let document = &self.documents[*number];
            if !seen.contains(number) {
                seen.push(*number);
                edits.push(document.container_edits.clone());
            }
            let device = document.devices.iter().find(|device| device.name == short);
            edits.extend(device.map(|device| device.container_edits.clone()));
        }
        edits.retain(|edit| *edit != ContainerEdits::default());
        Ok(edits)
    }

    /// Why a device is not there: a file that can't be read may have it.
    fn unknown(&mut self, name: &str) -> CdiError {
        if !self.problems.is_empty() {
            return self.problems.remove(0);
        }
        let directories: Vec<String> =
            self.directories.iter().map(|path| path.display().to_string()).collect();
        let known = self.devices.keys().cloned().collect();
        CdiError::Unknown { name: name.to_owned(), directories: directories.join(" or "), known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &Path, name: &str, device: &str, variable: &str) {
        let text = format!(
            "cdiVersion: 0.6.0\nkind: v.com/c\ndevices:\n- name: {device}\n  containerEdits:\n    env: [{variable}]\n\
             containerEdits:\n  env: [ALL=1]\n"
        );
        std::fs::write(directory.join(name), text).unwrap();
    }

    fn env(registry: Registry, names: &[&str]) -> Result<Vec<String>, String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let edits = registry.edits(&names).map_err(|error| error.to_string())?;
        Ok(edits.into_iter().flat_map(|edit| edit.env).collect())
    }

    #[test]
    fn later_directories_count_more() {
        let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        file(first.path(), "a.yaml", "x", "A=1");
        file(second.path(), "b.yaml", "x", "B=1");
        file(second.path(), "ignored.txt", "y", "C=1");
        let directories = [first.path().to_owned(), second.path().to_owned()];
        let read = || Registry::read_from(&directories).unwrap();
        assert_eq!(env(read(), &["v.com/c=x"]).unwrap(), ["ALL=1", "B=1"]);
        let error = env(read(), &["v.com/c=y"]).unwrap_err();
        assert!(
            error.contains("unresolvable CDI device v.com/c=y") && error.contains("v.com/c=x"),
            "{error}"
        );
        assert!(env(read(), &["nothing"]).unwrap_err().contains("expected VENDOR/CLASS=NAME"));
    }

    #[test]
    fn conflicts_and_broken_files_are_told() {
        let directory = tempfile::tempdir().unwrap();
        file(directory.path(), "a.yaml", "x", "A=1");
        std::fs::write(directory.path().join("broken.json"), "{").unwrap();
        let directories = [directory.path().to_owned()];
        let error = env(Registry::read_from(&directories).unwrap(), &["v.com/c=z"]).unwrap_err();
        assert!(error.contains("broken.json"), "{error}");
        file(directory.path(), "b.yaml", "x", "B=1");
        let error = Registry::read_from(&directories).unwrap_err().to_string();
        assert!(error.contains("a.yaml and") && error.contains("b.yaml"), "{error}");
    }
}
