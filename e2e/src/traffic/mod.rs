//! Clients of the pods that move.

mod ask;
mod load;
mod redis;
mod rows;

pub use ask::ask;
pub use load::{Connection, Load};
pub use redis::Redis;
pub use rows::{Rows, Writer};
