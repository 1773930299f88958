//! The few fields of CRIU's RPC messages that the relay looks at (`images/rpc.proto` of CRIU 4.2). Everything else passes unread.

use prost::Message;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

/// What a request asks for or an answer answers, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A checkpoint.
    Dump,
    /// A restore.
    Restore,
    /// A checkpoint of memory alone, the tasks go on.
    PreDump,
    /// CRIU tells of a stage, or is told to go on.
    Notify,
    /// Any other.
    Other(i32),
}

impl Kind {
    fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Dump,
            2 => Self::Restore,
            4 => Self::PreDump,
            6 => Self::Notify,
            other => Self::Other(other),
        }
    }

    fn number(self) -> i32 {
        match self {
            Self::Dump => 1,
            Self::Restore => 2,
            Self::PreDump => 4,
            Self::Notify => 6,
            Self::Other(other) => other,
        }
    }
}

/// What the relay needs of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub kind: Kind,
    /// Descriptors by number in the *asking* process, which CRIU opens through `/proc/PID/fd` of the process that made the socket.
    pub descriptors: Vec<i32>,
    /// The one of them that is the directory of the images.
    pub images: Option<i32>,
    /// The first process of the container to dump.
    pub pid: Option<i32>,
    /// Whether memory is to be dumped or restored lazily.
    pub lazy_pages: bool,
}

/// What the relay needs of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What is answered.
    pub kind: Kind,
    /// Whether it went well.
    pub success: bool,
    /// The stage, if it is a notification.
    pub stage: Option<String>,
    /// The PID that goes with the stage, as CRIU sees it.
    pub pid: Option<i32>,
}

/// A message that is no RPC message of CRIU.
#[derive(Debug, thiserror::Error)]
#[error("a message between runc and CRIU cannot be read; is this CRIU 4.2 or newer?")]
pub struct RpcError(#[from] prost::DecodeError);

impl RpcError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        "RpcMalformed"
    }
}

/// Reads a request (runc to CRIU).
pub fn request(bytes: &[u8]) -> Result<Request, RpcError> {
    let wire = wire::Request::decode(bytes)?;
    let opts = wire.opts.unwrap_or_default();
    let descriptors = [opts.images_dir_fd, opts.work_dir_fd, opts.status_fd];
    Ok(Request {
        kind: Kind::from_number(wire.kind),
        descriptors: descriptors.into_iter().flatten().filter(|fd| *fd >= 0).collect(),
        images: opts.images_dir_fd.filter(|fd| *fd >= 0),
        pid: opts.pid,
        lazy_pages: opts.lazy_pages.unwrap_or_default(),
    })
}

/// The same request with `lazy_pages` set; all else is left as it is, byte by byte.
///
/// This does what runc's `--lazy-pages` does at a restore. At a dump runc's flag also demands a TCP port, on which CRIU would
/// listen for anybody.
pub fn with_lazy_pages(bytes: &[u8]) -> Result<Vec<u8>, RpcError> {
    const OPTS: u32 = 2;
    // A field that comes last wins: protobuf's rule for scalars.
    let lazy = wire::Opts {
        lazy_pages: Some(true),
        ..wire::Opts::default()
    }
    .encode_to_vec();
    let mut rest = bytes;
    let mut opts = Vec::new();
    let mut changed = Vec::with_capacity(bytes.len() + 2 * lazy.len());
    while !rest.is_empty() {
        let field = rest;
        let (tag, kind) = decode_key(&mut rest)?;
        let mut after = rest;
        skip_field(kind, tag, &mut after, DecodeContext::default())?;
        if tag == OPTS && kind == WireType::LengthDelimited {
            decode_varint(&mut rest)?;
            opts.extend_from_slice(&rest[..rest.len() - after.len()]);
        } else {
            changed.extend_from_slice(&field[..field.len() - after.len()]);
        }
        rest = after;
    }
    opts.extend_from_slice(&lazy);
    encode_key(OPTS, WireType::LengthDelimited, &mut changed);
    encode_varint(opts.len() as u64, &mut changed);
    changed.extend_from_slice(&opts);
    Ok(changed)
}

/// Reads an answer or notification (CRIU to runc).
pub fn response(bytes: &[u8]) -> Result<Response, RpcError> {
    let wire = wire::Response::decode(bytes)?;
    let notify = wire.notify.unwrap_or_default();
    Ok(Response {
        kind: Kind::from_number(wire.kind),
        success: wire.success,
        stage: notify.script,
        pid: notify.pid,
    })
}

/// The answer by which CRIU would refuse a request.
pub fn refusal(kind: Kind, message: &str) -> Vec<u8> {
    let wire = wire::Response {
        kind: kind.number(),
        success: false,
        notify: None,
        message: Some(message.to_owned()),
    };
    wire.encode_to_vec()
}

/// The request by which a client lets a notification fail.
pub fn notify_failed() -> Vec<u8> {
    wire::Request {
        kind: Kind::Notify.number(),
        opts: None,
        notify_success: Some(false),
    }
    .encode_to_vec()
}

/// The messages with their field numbers.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(int32, required, tag = "1")]
        pub(super) kind: i32,
        #[prost(message, optional, tag = "2")]
        pub(super) opts: Option<Opts>,
        #[prost(bool, optional, tag = "3")]
        pub(super) notify_success: Option<bool>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Opts {
        #[prost(int32, optional, tag = "1")]
        pub(super) images_dir_fd: Option<i32>,
        #[prost(int32, optional, tag = "2")]
        pub(super) pid: Option<i32>,
        #[prost(int32, optional, tag = "17")]
        pub(super) work_dir_fd: Option<i32>,
        #[prost(bool, optional, tag = "48")]
        pub(super) lazy_pages: Option<bool>,
        #[prost(int32, optional, tag = "49")]
        pub(super) status_fd: Option<i32>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Response {
        #[prost(int32, required, tag = "1")]
        pub(super) kind: i32,
        #[prost(bool, required, tag = "2")]
        pub(super) success: bool,
        #[prost(message, optional, tag = "5")]
        pub(super) notify: Option<Notify>,
        #[prost(string, optional, tag = "9")]
        pub(super) message: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Notify {
        #[prost(string, optional, tag = "1")]
        pub(super) script: Option<String>,
        #[prost(int32, optional, tag = "2")]
        pub(super) pid: Option<i32>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_past_unknown_fields() {
        // type RESTORE; opts { images_dir_fd 7, log_level 4, work_dir_fd -1 }; notify_success true
        let opts = [
            0x08, 7, 0x48, 4, 0x88, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        let mut bytes = vec![0x08, 2, 0x12, u8::try_from(opts.len()).unwrap()];
        bytes.extend_from_slice(&opts);
        bytes.extend_from_slice(&[0x18, 1]);
        assert_eq!(
            request(&bytes).unwrap(),
            Request {
                kind: Kind::Restore,
                descriptors: vec![7],
                images: Some(7),
                pid: None,
                lazy_pages: false
            }
        );
    }

    #[test]
    fn a_notification_is_read() {
        let mut bytes = vec![0x08, 6, 0x10, 1, 0x2a, 15, 0x0a, 10];
        bytes.extend_from_slice(b"pre-resume");
        bytes.extend_from_slice(&[0x10, 0xd2, 0x09]);
        let read = response(&bytes).unwrap();
        assert_eq!(read.stage.as_deref(), Some("pre-resume"));
        assert_eq!(
            (read.kind, read.success, read.pid),
            (Kind::Notify, true, Some(1234))
        );
    }

    #[test]
    fn a_refusal_reads_as_one() {
        let read = response(&refusal(Kind::Dump, "because")).unwrap();
        assert_eq!((read.kind, read.success), (Kind::Dump, false));
    }

    #[test]
    fn a_request_is_made_lazy_and_left_as_it_is_otherwise() {
        // opts { images_dir_fd 7, lazy_pages false, ext_mnt { "k" } }; type DUMP; notify_success true
        let bytes = [
            0x12, 10, 0x08, 7, 0x80, 0x03, 0, 0xba, 0x01, 2, 0x0a, 0, 0x08, 1, 0x18, 1,
        ];
        let changed = with_lazy_pages(&bytes).unwrap();
        let wanted = [
            0x08, 1, 0x18, 1, 0x12, 13, 0x08, 7, 0x80, 0x03, 0, 0xba, 0x01, 2, 0x0a, 0, 0x80, 0x03, 1,
        ];
        assert_eq!(changed, wanted);
        let read = request(&changed).unwrap();
        assert_eq!((read.lazy_pages, read.descriptors), (true, vec![7]));
        assert!(!request(&bytes).unwrap().lazy_pages);
        assert!(request(&with_lazy_pages(&[0x08, 1]).unwrap()).unwrap().lazy_pages);
    }

    #[test]
    fn garbage_is_an_error() {
        assert_eq!(request(&[0x12, 200]).unwrap_err().reason(), "RpcMalformed");
        for cut in [&[0x12, 200][..], &[0x12, 200, 1, 8], &[0x0f], &[0x80]] {
            assert_eq!(with_lazy_pages(cut).unwrap_err().reason(), "RpcMalformed");
        }
    }
}
