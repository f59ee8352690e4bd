//! Linux namespaces and id maps: read them, plan them, apply them.
