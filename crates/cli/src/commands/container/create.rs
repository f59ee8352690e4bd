//! `berth create`

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::ExitCode;

use clap::Arg;
use engine::{Created, Engine};
use image::{Image, Platforms};
use oci::image::Platform;

use super::env::reason;
use super::request::{CREATE, Pull, Request};
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::flags::{self, Section, Usage};
use crate::commands::image::pull;
use crate::commands::output::{Stream, print};

/// The flags of `create`, for help.
pub fn flags(command: clap::Command) -> clap::Command {
    with_operands(command.args(flags::args(CREATE)))
}

/// The image and the command behind flags, for help.
pub fn with_operands(command: clap::Command) -> clap::Command {
    command.arg(Arg::new("image").value_name("IMAGE").required(true).help("Name or id")).arg(
        Arg::new("command")
            .value_name("COMMAND")
            .num_args(0..)
            .help("The program instead of the image's, with its arguments"),
    )
}

pub fn run(words: &[OsString], context: &mut Context) -> Outcome {
    let request = read(CREATE, words)?;
    if let Some(root) = &request.root {
        context.set_root(root.clone());
    }
    let engine = context.engine()?;
    if request.dry_run {
        return dry_run(context, &engine, &request);
    }
    let created = create(context, &engine, &request)?;
    print(&format!("{}\n", created.container.id))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a command line of `run` or `create`.
pub fn read(sections: &[Section<Request>], words: &[OsString]) -> Result<Request, Usage> {
    let mut request = Request::default();
    let operands = flags::parse(sections, words, &mut request)?;
    let operands: Vec<&str> = operands.iter().map(|word| flags::utf8(word)).collect::<Result<_, _>>()?;
    let missing = || Usage::Wrong("an image is missing: at least 1 argument is required".to_owned());
    let (image, command) = operands.split_first().ok_or_else(missing)?;
    request.finish(image, command).map_err(Usage::Wrong)
}

/// Prints what making and starting the container would take. Nothing is pulled for it.
pub fn dry_run(context: &Context, engine: &Engine, request: &Request) -> Outcome {
    let name = &request.create.config.image;
    let image = context.find(engine.images()?, name).map_err(|error| match error {
        image::Error::NotFound(_) => {
            format!("{error}: a dry run pulls nothing: pull it first, with `berth pull {name}`").into()
        }
        other => Box::<dyn Error>::from(other),
    })?;
    let dry_run = engine.dry_run(request.name.as_deref(), &request.create, &image)?;
    warn(&dry_run.warnings);
    print(&dry_run.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
}

/// Makes the container that is asked for, with its image pulled where it has to be.
pub fn create(context: &Context, engine: &Engine, request: &Request) -> Result<Created, Box<dyn Error>> {
    make(engine, request, &find_image(context, request)?)
}

/// Makes the container, and writes its id to the file that wants it.
pub fn make(engine: &Engine, request: &Request, image: &Image) -> Result<Created, Box<dyn Error>> {
    let id_file = IdFile::create(&request.create.host_config.container_id_file)?;
    let created = engine.create(request.name.as_deref(), &request.create, image)?;
    warn(&created.warnings);
    id_file.keep(&created.container.id)?;
    Ok(created)
}

/// The image that is asked for, pulled where it has to be.
pub fn find_image(context: &Context, request: &Request) -> Result<Image, Box<dyn Error>> {
    let name = &request.create.config.image;
    let told = (!request.quiet).then_some(Stream::Stderr);
    let platforms = request.platform.clone().map_or_else(Platforms::default, Platforms::One);
    let builtin = image::Builtin::named(name).is_some();
    if !builtin && matches!(request.pull, Pull::Always | Pull::Newer) {
        let pulled = pull::pull(context, name, platforms.clone(), false, told);
        // What can't be asked for anew is taken as it is here.
        if request.pull == Pull::Always || context.find(&context.images()?, name).is_err() {
            pulled?;
        }
    }
    let images = context.images()?;
    match context.find(&images, name) {
        Ok(image) if request.platform.as_ref().is_none_or(|wanted| fits(&image, wanted)) => Ok(image),
        Ok(image) if builtin || request.pull != Pull::Missing => Err(other_platform(name, &image, request)),
        Err(image::Error::NotFound(_)) if !builtin && request.pull == Pull::Missing => {
            if let Some(stream) = told {
                stream.print(&format!("Unable to find image '{}' locally\n", tagged(name)))?;
            }
            pull::pull(context, name, platforms, false, told)?;
            Ok(context.find(&images, name)?)
        }
        Ok(_) => {
            pull::pull(context, name, platforms, false, told)?;
            let image = context.find(&images, name)?;
            let right = request.platform.as_ref().is_none_or(|wanted| fits(&image, wanted));
            if right { Ok(image) } else { Err(other_platform(name, &image, request)) }
        }
        Err(error) => Err(error.into()),
    }
}

fn fits(image: &Image, wanted: &Platform) -> bool {
    let platform = &image.config.platform;
    platform.os == wanted.os
        && platform.architecture == wanted.architecture
        && (wanted.variant.is_none() || platform.variant == wanted.variant)
}

fn other_platform(name: &str, image: &Image, request: &Request) -> Box<dyn Error> {
    let wanted = request.platform.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "image {name} was found but its platform ({}) does not match the specified platform ({wanted})",
        image.config.platform
    )
    .into()
}

/// A name with the tag that is meant where it has none.
fn tagged(name: &str) -> String {
    let after_slash = name.rsplit('/').next().unwrap_or_default();
    if after_slash.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

/// The file of `--cidfile`, which must be new, and goes where no container is made.
struct IdFile<'a> {
    path: &'a str,
    written: bool,
}

impl IdFile<'_> {
    fn create(path: &str) -> Result<IdFile<'_>, Box<dyn Error>> {
        // Nothing to take back where there is none.
        let mut file = IdFile { path, written: true };
        if !path.is_empty() {
            OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => format!(
                    "container ID file found, make sure the other container isn't running or delete {path}"
                ),
                _ => format!("failed to create the container ID file: open {path}: {}", reason(&error)),
            })?;
            file.written = false;
        }
        Ok(file)
    }

    fn keep(mut self, id: &str) -> Result<(), Box<dyn Error>> {
        if !self.path.is_empty() {
            let mut file = OpenOptions::new().write(true).open(self.path)?;
            file.write_all(id.as_bytes())?;
            self.written = true;
        }
        Ok(())
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if !self.written {
            // Made by us a moment ago, and empty.
            let _ = fs::remove_file(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_tag_that_is_meant() {
        assert_eq!(tagged("app"), "app:latest");
        assert_eq!(tagged("localhost:5000/app"), "localhost:5000/app:latest");
        assert_eq!(tagged("app:1"), "app:1");
        assert_eq!(tagged("app@sha256:00"), "app@sha256:00");
    }

    #[test]
    fn a_line_without_image_is_wrong() {
        let read = |words: &[&str]| {
            read(CREATE, &words.iter().map(OsString::from).collect::<Vec<_>>())
                .map(|request| request.create.config.image)
        };
        assert!(matches!(read(&["--rm"]), Err(Usage::Wrong(_))));
        assert_eq!(read(&["--rm", "app"]), Ok("app".to_owned()));
        assert_eq!(read(&["-d", "app"]), Err(Usage::Wrong("unknown shorthand flag: 'd' in -d".to_owned())));
    }
}
