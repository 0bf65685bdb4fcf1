//! `[[consumers]]` as typed.

use super::At;
use crate::typed;

typed::tables! {
    /// Someone who uses what is guarded, with what they show for it. `username` or `custom_id` must be
    /// there.
    struct Consumer {
        /// The name that plugins and upstreams see.
        username: String,
        /// The name that another system knows.
        custom_id: String,
        /// Words for whoever reads the manifest.
        tags: Vec<At<String>>,
        /// Keys of the plugin key-auth.
        keys: Vec<At<String>>,
        /// Names and passwords of the plugin basic-auth.
        basic: Vec<At<Basic>>,
        /// What signs the tokens of the plugin jwt.
        jwt: Vec<At<Jwt>>,
        /// Names and secrets of the plugin hmac-auth.
        hmac: Vec<At<Hmac>>,
        /// Groups of the plugin acl.
        groups: Vec<At<String>>,
    }

    /// A name with a password.
    struct Basic needs [username, password] {
        /// The name.
        username: String,
        /// The password.
        password: String,
    }

    /// What signs tokens.
    struct Jwt needs [key] {
        /// What the token's `iss` must be.
        key: String,
        /// Of HS256, HS384 and HS512.
        secret: String,
        /// Default "HS256".
        algorithm: String,
        /// Of the other algorithms: a public key as PEM, such as `"${file:issuer.pem}"`.
        rsa_public_key: String,
    }

    /// A name with a secret.
    struct Hmac needs [username, secret] {
        /// The name.
        username: String,
        /// The secret.
        secret: String,
    }
}
