//! Memory of containers on its way: no Kubernetes, no network, no async runtime.
//!
//! | module | its one idea |
//! |---|---|
//! | [`track`] | which pages of a running process were written since the last look |
//! | [`pages`] | reading pages of another process |
//! | [`wire`] | pages as bytes: without zeros and repetitions, compressed if that is faster |
//! | [`rounds`] | how many rounds, how fast, and when to freeze |
//! | [`store`] | pages that have arrived |
//! | [`images`] | which pages CRIU expects later |
//! | [`causes`] | an error with its causes, in words |
//! | [`serve`] | giving them to restored processes when they touch them, and all others soon after |

pub mod causes;
pub mod images;
pub mod page_set;
pub mod pages;
pub mod range;
pub mod rounds;
pub mod serve;
pub mod store;
pub mod track;
pub mod wire;
