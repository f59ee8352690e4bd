//! `berth run`

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use engine::Engine;
use monitor::attach::{Signals, Wants};
use monitor::stdio::Size;

use super::create::{self, with_operands};
use super::foreground::{Front, await_start, check_terminal, detach_keys};
use super::observed;
use super::request::{RUN, Request};
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::entry::Failed;
use crate::commands::flags::{self, Usage};
use crate::commands::output::print;

/// The flags of `run`, for help.
pub fn flags(command: clap::Command) -> clap::Command {
    with_operands(command.args(flags::args(RUN)))
}

pub fn run(words: &[OsString], context: &mut Context) -> Outcome {
    let mut request = create::read(RUN, words)?;
    if let Some(root) = request.root.take() {
        context.set_root(root);
    }
    let config = &request.create.config;
    if !request.dry_run {
        check_terminal(config.attach_stdin, config.tty)?;
    }
    let ran = context.engine().and_then(|engine| match &request {
        Request { dry_run: true, .. } => create::dry_run(context, &engine, &request),
        Request { detach: true, .. } => in_background(context, &engine, &request),
        _ => in_foreground(context, &engine, request),
    });
    ran.map_err(|error| if error.is::<Usage>() { error } else { with_status(error) })
}

/// Whatever keeps a container from running is 125, but where the program itself is to blame.
fn with_status(error: Box<dyn Error>) -> Box<dyn Error> {
    if error.is::<Failed>() { error } else { Failed { status: 125, error }.into() }
}

fn in_background(context: &Context, engine: &Engine, request: &Request) -> Outcome {
    let mut made = create::create(context, engine, request)?;
    await_start(engine.start_created(&mut made, None)?)?;
    print(&format!("{}\n", made.container.id))?;
    Ok(ExitCode::SUCCESS)
}

fn in_foreground(context: &Context, engine: &Engine, mut request: Request) -> Outcome {
    let detach_keys = detach_keys(request.detach_keys.as_deref())?;
    let config = &request.create.config;
    let wants =
        Wants { stdin: config.attach_stdin, stdout: config.attach_stdout, stderr: config.attach_stderr };
    if let Some(size) = Size::of(rustix::stdio::stdin()).filter(|_| config.tty) {
        request.create.host_config.console_size = [size.rows.into(), size.cols.into()];
    }
    let image = create::find_image(context, &request)?;
    // From here on: one that comes before the container runs waits for it.
    let signals = Signals::hold()?;
    let mut made = create::make(engine, &request, &image)?;
    let record = engine.observed(&made.container)?;
    let client = engine.start_created(&mut made, Some(wants))?;
    let front = Front { engine, container: &made.container, wants, detach_keys, forward: request.sig_proxy };
    let ended = front.run(client, &signals);
    if let Some(record) = record {
        observed::report(
            engine,
            &made.container,
            record,
            request.learn.as_deref().filter(|_| ended.is_ok()),
        )?;
    }
    ended
}
