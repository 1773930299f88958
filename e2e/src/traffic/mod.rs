//! Clients of the pods that move.

mod ask;
mod load;
mod redis;

pub use ask::ask;
pub use load::{Connection, Load};
pub use redis::Redis;
