//! Consumers: who may use what plugins guard.

/// Someone, with what they show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The name that plugins and upstreams see.
    pub username: Option<String>,
    /// The name that another system knows. One of the two is there.
    pub custom_id: Option<String>,
    /// Words for people.
    pub tags: Vec<String>,
    /// For key-auth.
    pub keys: Vec<String>,
    /// For basic-auth: name and password.
    pub basic: Vec<(String, String)>,
    /// For jwt.
    pub jwt: Vec<Jwt>,
    /// For hmac-auth: name and secret.
    pub hmac: Vec<(String, String)>,
    /// For acl.
    pub groups: Vec<String>,
}

/// What signs tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// What the token's `iss` must be.
    pub key: String,
    /// One of [`JWT_ALGORITHMS`].
    pub algorithm: &'static str,
    /// A secret for HS*, else a public key as PEM.
    pub secret: String,
}

/// Algorithms of tokens.
pub const JWT_ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256",
    "PS384", "PS512", "EdDSA",
];
