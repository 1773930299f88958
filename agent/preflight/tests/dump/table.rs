//! The features, what the look finds of each, and what CRIU makes of it.

use crate::features::{Tried, descriptors as d, files as f, nothing, processes as p, sockets as s};

/// What CRIU says.
#[derive(Debug)]
pub enum Criu {
    /// It takes it.
    Dumps,
    /// It does not; a line of its log holds this text.
    Refuses(&'static str),
}

/// One feature.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The program.
    pub app: fn() -> Tried,
    /// The checks that find it, and whether they refuse.
    pub found: &'static [(&'static str, bool)],
    /// What CRIU makes of it.
    pub criu: Criu,
}

const fn fine(name: &'static str, app: fn() -> Tried) -> Row {
    Row {
        name,
        app,
        found: &[],
        criu: Criu::Dumps,
    }
}

const fn refused(
    name: &'static str,
    app: fn() -> Tried,
    found: &'static [(&'static str, bool)],
    log: &'static str,
) -> Row {
    Row {
        name,
        app,
        found,
        criu: Criu::Refuses(log),
    }
}

/// What is found only where there is a freezer of version 1.
pub const ONLY_VERSION_1: &str = "ProcessStopped";

pub const ROWS: &[Row] = &[
    fine("nothing", nothing),
    fine("ordinary", d::ordinary),
    // The dump succeeds, and the restored counter is an ordinary one.
    Row {
        name: "event-semaphore",
        app: d::event_semaphore,
        found: &[("EventSemaphoreUnsupported", true)],
        criu: Criu::Dumps,
    },
    refused(
        "io_uring",
        d::io_uring,
        &[("IoUringUnsupported", true)],
        "send_fds failed",
    ),
    refused(
        "io_uring-mapped",
        d::io_uring_mapped,
        &[("IoUringUnsupported", true)],
        "anon_inode:[io_uring]",
    ),
    refused(
        "perf_event",
        d::perf_event,
        &[("PerfEventUnsupported", true)],
        "anon_inode:[perf_event]",
    ),
    refused(
        "uprobe",
        d::uprobe,
        &[("UprobeUnsupported", true)],
        "has uprobes vma",
    ),
    refused(
        "bpf-map",
        d::bpf_map,
        &[("BpfUnsupported", true)],
        "anon_inode:bpf-map",
    ),
    refused(
        "bpf-ring",
        d::bpf_ring,
        &[("BpfUnsupported", true)],
        "anon_inode:bpf-map",
    ),
    refused(
        "bpf-program",
        d::bpf_program,
        &[("BpfUnsupported", true)],
        "anon_inode:bpf-prog",
    ),
    refused(
        "userfaultfd",
        d::userfaultfd,
        &[("UserfaultfdUnsupported", true)],
        "anon_inode:[userfaultfd]",
    ),
    refused(
        "fanotify-overlay",
        d::fanotify_overlay,
        &[("FileWatchUnsupported", true)],
        "Can't dump that handle",
    ),
    fine("fanotify-tmpfs", d::fanotify_tmpfs),
    fine("inotify-idle", d::inotify_idle),
    refused(
        "inotify-overlay",
        d::inotify_overlay,
        &[("FileWatchUnsupported", true)],
        "Can't dump that handle",
    ),
    fine("inotify-tmpfs", d::inotify_tmpfs),
    fine("inotify-volume", d::inotify_volume),
    refused(
        "inotify-proc",
        d::inotify_proc,
        &[("FileWatchUnsupported", true)],
        "Can't dump that handle",
    ),
    fine("pidfd", d::pidfd),
    fine("pidfd-gone", d::pidfd_gone),
    refused(
        "secret-memory",
        d::secret_memory,
        &[("SecretMemoryUnsupported", true)],
        "/secretmem (deleted)",
    ),
    refused(
        "secret-memory-mapped",
        d::secret_memory_mapped,
        &[("SecretMemoryUnsupported", true)],
        "/secretmem (deleted)",
    ),
    fine("memfd", d::memfd),
    refused(
        "landlock",
        d::landlock,
        &[("DescriptorUnsupported", true)],
        "anon_inode:[landlock-ruleset]",
    ),
    refused(
        "mount-context",
        d::mount_context,
        &[("DescriptorUnsupported", true)],
        "anon_inode:[fscontext]",
    ),
    refused(
        "alarm-timerfd",
        d::alarm_timerfd,
        &[("AlarmTimerUnsupported", true)],
        "Unknown clock type 9",
    ),
    fine("plain-timer", d::plain_timer),
    fine("aio", d::aio),
    fine("aio-busy", d::aio_busy),
    refused(
        "seccomp-notify",
        d::seccomp_notify,
        &[("SeccompNotifyUnsupported", true)],
        "anon_inode:seccomp notify",
    ),
    fine("tcp", s::tcp),
    fine("udp", s::udp),
    // The dump succeeds, and the restored socket is no member.
    Row {
        name: "multicast",
        app: s::multicast,
        found: &[("MulticastUnsupported", true)],
        criu: Criu::Dumps,
    },
    fine("ping", s::ping),
    fine("raw", s::raw),
    fine("packet", s::packet),
    refused(
        "mptcp",
        s::mptcp,
        &[("MptcpUnsupported", true)],
        "Unsupported proto 262",
    ),
    refused(
        "mptcp-listening",
        s::mptcp_listening,
        &[("MptcpUnsupported", true)],
        "Unsupported proto 262",
    ),
    refused(
        "vsock",
        s::vsock,
        &[("SocketUnsupported", true)],
        "Unknown socket collected (family 40)",
    ),
    refused(
        "xdp",
        s::xdp,
        &[("SocketUnsupported", true)],
        "Unknown socket collected (family 44)",
    ),
    fine("netlink", s::netlink),
    refused(
        "netlink-pending",
        s::netlink_pending,
        &[("NetlinkUnread", true)],
        "The socket has data to read",
    ),
    refused(
        "unaccepted",
        s::unaccepted,
        &[("ConnectionsNotAccepted", false)],
        "In-flight connection",
    ),
    refused(
        "half-open",
        s::half_open,
        &[("ConnectionsNotAccepted", false)],
        "In-flight connection",
    ),
    fine("connecting", s::connecting),
    fine("unix-peer-closed", s::unix_peer_closed),
    fine("unix-peer-closed-unread", s::unix_peer_closed_unread),
    fine("unix-to-child", s::unix_to_child),
    fine("unix-inside", s::unix_inside),
    fine("unix-unaccepted", s::unix_unaccepted),
    refused(
        "unix-outside",
        s::unix_outside,
        &[("UnixPeerOutside", true)],
        "Dangling connection",
    ),
    refused(
        "unix-datagram-outside",
        s::unix_datagram_outside,
        &[("UnixPeerOutside", true)],
        "without peer",
    ),
    fine("unix-unlinked", s::unix_unlinked),
    fine("descriptor-on-its-way", s::descriptor_on_its_way),
    fine("devices-of-every-container", f::devices_of_every_container),
    refused("fuse", f::fuse, &[("DeviceUnsupported", true)], "(chr 10:229)"),
    refused("kvm", f::kvm, &[("DeviceUnsupported", true)], "(chr 10:232)"),
    fine("tun", f::tun_idle),
    fine("tun-attached", f::tun_attached),
    refused("hwrng", f::hwrng, &[("DeviceUnsupported", true)], "(chr 10:183)"),
    fine("kernel-log", f::kernel_log),
    fine("console", f::console),
    refused(
        "block-device",
        f::block_device,
        &[("DeviceUnsupported", true)],
        "of that type [60600]",
    ),
    fine("deleted-small", f::deleted_small),
    refused(
        "deleted-big",
        f::deleted_big,
        &[("DeletedFileTooBig", true)],
        "Can't dump ghost file /tmp/deleted",
    ),
    fine("deleted-sparse", f::deleted_sparse),
    refused(
        "deleted-mapped",
        f::deleted_mapped,
        &[("DeletedFileTooBig", true)],
        "Can't dump ghost file /tmp/mapped",
    ),
    refused(
        "other-name",
        f::other_name,
        &[("DeletedNameUnsupported", true)],
        "Use link-remap option",
    ),
    fine("nameless", f::nameless),
    fine("deleted-directory", f::deleted_directory),
    fine("path-only", f::path_only),
    fine("lock", f::lock),
    fine("record-lock", f::record_lock),
    fine("lease", f::lease),
    refused(
        "message-queue",
        f::message_queue,
        &[("MessageQueueUnsupported", true)],
        "Can't lookup mount",
    ),
    refused(
        "message-queue-closed",
        f::message_queue_closed,
        &[("MessageQueueUnsupported", true)],
        "mqueue isn't empty",
    ),
    fine("terminal", f::terminal),
    fine("own-namespace-file", f::own_namespace_file),
    refused(
        "foreign-namespace-file",
        f::foreign_namespace_file,
        &[("NamespaceDescriptorUnsupported", true)],
        "No NS ID with kid",
    ),
    fine("kernel-file", f::kernel_file),
    refused(
        "detached-mount",
        f::detached_mount,
        &[("DetachedMountUnsupported", true)],
        "Can't lookup mount",
    ),
    fine("zombie", p::zombie),
    fine("threads", p::threads),
    // It can be dumped as long as no freezer holds it.
    Row {
        name: "stopped",
        app: p::stopped,
        found: &[(ONLY_VERSION_1, true)],
        criu: Criu::Dumps,
    },
    refused(
        "traced",
        p::traced,
        &[("ProcessTraced", true)],
        "Unseizable non-zombie",
    ),
    refused("vfork", p::vfork, &[("ProcessUninterruptible", true)], "state D"),
    refused(
        "user-namespace",
        p::user_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "nested user namespace",
    ),
    fine("mount-namespace", p::mount_namespace),
    refused(
        "net-namespace",
        p::net_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "more than one netns",
    ),
    refused(
        "uts-namespace",
        p::uts_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "nested uts namespace",
    ),
    refused(
        "ipc-namespace",
        p::ipc_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "nested ipc namespace",
    ),
    refused(
        "cgroup-namespace",
        p::cgroup_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "nested cgroup namespace",
    ),
    refused(
        "time-namespace",
        p::time_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "nested time_for_children namespace",
    ),
    refused(
        "pid-namespace",
        p::pid_namespace,
        &[("NestedNamespaceUnsupported", true)],
        "nested pid namespace",
    ),
    fine("sysv", p::sysv),
    fine("chroot", p::chroot),
    fine("thread-with-own-files", p::thread_with_own_files),
    // The dump succeeds, and the restored thread is in the namespace of its process.
    Row {
        name: "thread-in-namespace",
        app: p::thread_in_namespace,
        found: &[("ThreadNamespaceUnsupported", true)],
        criu: Criu::Dumps,
    },
];
