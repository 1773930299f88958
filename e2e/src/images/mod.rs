//! OCI images, written without any image tool.

pub mod layer;
pub mod oci;
pub mod pause;
pub mod programs;
