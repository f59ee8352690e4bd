//! How layers proceed: a bar each on a terminal, a line for each change of state elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use image::{LayerState, Progress, Silent};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use oci::image::Digest;

use super::Stream;

/// The words for what is done to layers.
#[derive(Clone, Copy)]
pub enum Direction {
    /// From a registry.
    Pull,
    /// To a registry.
    Push,
}

/// What shows progress on a stream; nothing where that is none.
pub fn of_layers(direction: Direction, stream: Option<Stream>) -> Arc<dyn Progress> {
    let Some(stream) = stream else { return Arc::new(Silent) };
    if !stream.is_terminal() {
        return Arc::new(Lines { direction, stream, last: Mutex::default() });
    }
    let target = match stream {
        Stream::Stdout => ProgressDrawTarget::stdout(),
        Stream::Stderr => ProgressDrawTarget::stderr(),
    };
    Arc::new(Bars { direction, bars: MultiProgress::with_draw_target(target), layers: Mutex::default() })
}

impl Direction {
    fn words(self, state: LayerState) -> &'static str {
        match (self, state) {
            (Direction::Pull, LayerState::Waiting) => "Pulling fs layer",
            (Direction::Push, LayerState::Waiting) => "Preparing",
            (Direction::Pull, LayerState::Exists) => "Already exists",
            (Direction::Push, LayerState::Exists) => "Layer already exists",
            (_, LayerState::Downloading { .. }) => "Downloading",
            (_, LayerState::Unpacking) => "Download complete",
            (Direction::Pull, LayerState::Complete) => "Pull complete",
            (Direction::Push, LayerState::Complete) => "Pushed",
            (_, LayerState::Uploading { .. }) => "Pushing",
            (_, LayerState::Mounted) => "Mounted from another repository",
        }
    }
}

/// Lines, without the steps in between.
struct Lines {
    direction: Direction,
    stream: Stream,
    last: Mutex<HashMap<Digest, &'static str>>,
}

impl Progress for Lines {
    fn layer(&self, digest: &Digest, state: LayerState) {
        if matches!(state, LayerState::Downloading { .. } | LayerState::Uploading { .. }) {
            return;
        }
        let words = self.direction.words(state);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.insert(*digest, words) != Some(words) {
            // What can't be printed has no reader.
            let _ = self.stream.print(&format!("{}: {words}\n", digest.short()));
        }
    }
}

/// A bar for each layer.
struct Bars {
    direction: Direction,
    bars: MultiProgress,
    layers: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Progress for Bars {
    fn layer(&self, digest: &Digest, state: LayerState) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = layers.entry(*digest).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(0));
            bar.set_style(words_style());
            bar.set_prefix(digest.short());
            bar
        });
        bar.set_message(self.direction.words(state));
        match state {
            LayerState::Downloading { done, total } | LayerState::Uploading { done, total } => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_style(bytes_style());
                }
                bar.set_position(done);
            }
            LayerState::Waiting => bar.tick(),
            LayerState::Unpacking => {
                bar.set_style(words_style());
                bar.tick();
            }
            LayerState::Exists | LayerState::Complete | LayerState::Mounted => {
                bar.set_style(words_style());
                bar.abandon();
            }
        }
    }
}

fn words_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}: {msg}").expect("the template is right")
}

fn bytes_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}: {msg} [{bar:40}] {decimal_bytes}/{decimal_total_bytes} {eta}")
        .expect("the template is right")
        .progress_chars("=> ")
}
