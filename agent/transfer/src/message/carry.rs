//! Addresses that have moved on.

/// The user of a carried address has moved on.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CarryMove {
    /// The carried address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Node where its user is now.
    #[prost(string, tag = "2")]
    pub new_node: String,
    /// `InternalIP` of that node.
    #[prost(string, tag = "3")]
    pub new_address: String,
}

/// A carried address is no longer in use.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CarryEnded {
    /// The address.
    #[prost(string, tag = "1")]
    pub address: String,
}
