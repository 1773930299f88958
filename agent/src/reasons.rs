//! Every module's errors have a stable reason; this says so in one type for all, so that a step can take any of them.

use crate::failure::Reasoned;

/// One line for each error type whose `reason` gives a fixed text.
macro_rules! reasoned {
    ($($error:ty),* $(,)?) => {
        $(impl Reasoned for $error {
            fn stable_reason(&self) -> &'static str {
                self.reason()
            }
        })*
    };
}

reasoned! {
    crate::appear::AppearError,
    crate::carry::CarryError,
    crate::host_files::HostFilesError,
    crate::host_paths::HostPathError,
    crate::journal::JournalError,
    crate::peer::PeerError,
    crate::source::ImagesError,
    crate::source::MemoryError,
    crate::source::SharedError,
    crate::source::StopError,
    crate::source::SysvError,
    crate::target::inbox::InboxError,
    crate::target::page_server::PageServerError,
    crate::target::parking::ParkingError,
    crate::target::room::RoomError,
    crate::target::trees::TreesError,
    crate::volumes::VolumeError,
    godwit_container::call::CallError,
    godwit_container::cgroup::CgroupError,
    godwit_container::checkpoint::RuncNotFound,
    godwit_container::cri::CriError,
    godwit_container::discover::DiscoverError,
    godwit_container::images::ImageError,
    godwit_files::Error,
    godwit_network::Error,
    godwit_runtime::layout::LayoutError,
    godwit_runtime::record::RecordError,
}

impl<E: Reasoned + 'static> Reasoned for crate::source::StreamError<E> {
    fn stable_reason(&self) -> &'static str {
        match self {
            Self::Produce(error) => error.stable_reason(),
            Self::Peer(error) => error.reason(),
            Self::Thread | Self::Flush(_) => "StreamBroken",
        }
    }
}
