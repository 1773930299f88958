//! What the cluster is made of, and how each part is got on a bare machine.

pub mod debian;
pub mod go;
pub mod helm;
pub mod host;
pub mod hyperkube;
pub mod languages;
pub mod mirror;
pub mod podman;
pub mod postgres;
