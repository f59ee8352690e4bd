//! Layers: tar to directory and back; snapshots over them, by overlay or by copy.
