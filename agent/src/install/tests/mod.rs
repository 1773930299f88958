//! Installing on made-up nodes.

mod bench;
mod cut_off;
mod installing;
mod refused;
