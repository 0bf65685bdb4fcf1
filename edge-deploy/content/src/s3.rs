//! An object store that speaks S3: a web server whose requests are signed (AWS's version 4). Objects have the names
//! that files of a folder have, so whoever may read them without a signature does it by plain HTTPS.

use pilotlight_fleet::plan::{Digest, hex};
use ring::hmac;

use crate::Error;
use crate::http::{Ask, Response, header, short};

/// Where and as whom an object store is spoken to, as its other tools are told by `AWS_...`.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The name of the key.
    pub id: String,
    /// The key.
    pub secret: String,
    /// What belongs to a key that ends.
    pub session: Option<String>,
    /// Where the bucket lies.
    pub region: Option<String>,
    /// A server that is not Amazon's.
    pub endpoint: Option<String>,
    /// Seconds since 1970.
    pub clock: Option<fn() -> i64>,
}

/// `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    prefix: String,
    endpoint: Option<String>,
    region: Option<String>,
}

impl Bucket {
    pub(crate) fn parse(text: &str) -> Result<Bucket, Error> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let refused = |why: &str| {
            Err(Error::Refused(format!(
                "s3://{text}: {why}\nhint: s3://BUCKET/PREFIX?endpoint=URL"
            )))
        };
        if name.is_empty() || !name.chars().all(fine) {
            return refused("a bucket has a name in lower case");
        }
        let plain = |c: char| fine(c) || c.is_ascii_uppercase();
        if !prefix.chars().all(plain) || prefix.split('/').any(|part| part == "..") {
            return refused("a prefix consists of letters, digits, dots, lines and slashes");
        }
        let (mut endpoint, mut region) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.trim_end_matches('/').to_owned();
            match key {
                "endpoint" if value.contains("://") => endpoint = Some(value),
                "region" => region = Some(value),
                _ => return refused("it takes endpoint (a URL) and region"),
            }
        }
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Bucket { name: name.into(), prefix, endpoint, region })
    }
}

/// Signs requests to one bucket.
#[derive(Debug)]
pub(crate) struct Signer {
    account: Account,
    region: String,
    host: String,
}

impl Signer {
    /// Who signs, and the URL that objects' names stand behind.
    pub(crate) fn new(
        bucket: &Bucket,
        account: Option<&Account>,
    ) -> Result<(Signer, String), Error> {
        let Some(account) = account.cloned() else {
            return Err(Error::Refused(format!(
                "s3://{}: as whom?\nhint: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                bucket.name
            )));
        };
        let region = bucket.region.clone().or_else(|| account.region.clone());
        let region = region.unwrap_or_else(|| "us-east-1".into());
        let endpoint = bucket.endpoint.clone().or_else(|| account.endpoint.clone());
        let base = match endpoint {
            Some(endpoint) => format!("{}/{}", endpoint.trim_end_matches('/'), bucket.name),
            // A name with dots fits no certificate.
            None if bucket.name.contains('.') => {
                format!("https://s3.{region}.amazonaws.com/{}", bucket.name)
            }
            None => format!("https://{}.s3.{region}.amazonaws.com", bucket.name),
        };
        let host = base.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let host = host.unwrap_or_default().to_owned();
        let url = match bucket.prefix.as_str() {
            "" => base,
            prefix => format!("{base}/{prefix}"),
        };
        Ok((Signer { account, region, host }, url))
    }

    /// Signs a request: all of its fields, and by a digest its body.
    pub(crate) fn sign<'a>(&self, ask: Ask<'a>, body: Option<&Digest>) -> Ask<'a> {
        let time = jiff::Timestamp::from_second(self.account.clock.map_or(0, |clock| clock()));
        let time = time.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = time.get(..8).unwrap_or_default();
        let body = body.cloned().unwrap_or_else(|| Digest::of_bytes(b""));
        let mut ask =
            ask.field("x-amz-content-sha256", body.hex()).field("x-amz-date", time.clone());
        if let Some(session) = &self.account.session {
            ask = ask.field("x-amz-security-token", session.clone());
        }
        let mut fields: Vec<(&str, &str)> =
            ask.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("host", &self.host));
        fields.sort_unstable();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            fields.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        // What names consist of needs no escapes.
        let path = ask.url.split("://").nth(1).and_then(|rest| rest.split_once('/'));
        let path = path.map_or("", |(_, path)| path);
        let request = format!("{}\n/{path}\n\n{lines}\n{names}\n{}", ask.method, body.hex());
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            Digest::of_bytes(request.as_bytes()).hex()
        );
        let mut key = format!("AWS4{}", self.account.secret).into_bytes();
        for part in [day, &self.region, "s3", "aws4_request"] {
            key = keyed(&key, part);
        }
        let signature = hex(&keyed(&key, &text));
        let id = &self.account.id;
        ask.field(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"),
        )
    }
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// A refusal in the store's own words. To those who may not list a bucket, what is not there is forbidden to read.
pub(crate) fn explained(response: Response, what: &str, reads: bool) -> Error {
    let status = response.status().as_u16();
    let region = header(&response, "x-amz-bucket-region").map(str::to_owned);
    let text = short(response, 4096, what).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split('<').next()
    };
    // An answer to `HEAD` has no words.
    if reads && status == 403 && part("Code").is_none_or(|code| code == "AccessDenied") {
        return Error::Absent(format!("{what}, as far as this account may see,"));
    }
    let mut why = format!("{what}: the server answered {status}");
    if let Some(code) = part("Code") {
        why.push_str(&format!(", {code}: {}", part("Message").unwrap_or_default()));
    }
    if let Some(region) = region.filter(|_| status == 301 || status == 400) {
        why.push_str(&format!("\nhint: the bucket is in region {region}"));
    }
    Error::Refused(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Amazon's documentation of signatures: a range of an object.
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let account = Account {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            clock: Some(|| 1_369_353_600),
            ..Account::default()
        };
        let bucket = Bucket {
            name: "examplebucket".into(),
            prefix: String::new(),
            endpoint: None,
            region: None,
        };
        let (mut signer, url) = Signer::new(&bucket, Some(&account)).unwrap();
        assert_eq!(url, "https://examplebucket.s3.us-east-1.amazonaws.com");
        signer.host = "examplebucket.s3.amazonaws.com".into();
        let url = format!("{url}/test.txt");
        let ask = Ask::new("GET", &url).field("range", "bytes=0-9");
        let signed = signer.sign(ask, None).fields;
        let (_, value) = signed.iter().find(|(name, _)| *name == "authorization").unwrap();
        let wanted = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
                      SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
                      Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert_eq!(value, wanted);
    }

    #[test]
    fn buckets_are_read_as_they_are_written() {
        let bucket = Bucket::parse("shop/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-1");
        let bucket = bucket.unwrap();
        let account = Account::default();
        let (signer, url) = Signer::new(&bucket, Some(&account)).unwrap();
        assert_eq!(url, "http://127.0.0.1:9000/shop/a/b");
        assert_eq!((signer.host.as_str(), signer.region.as_str()), ("127.0.0.1:9000", "eu-1"));
        assert!(Signer::new(&bucket, None).unwrap_err().to_string().contains("AWS_ACCESS_KEY_ID"));
        for wrong in ["", "Shop", "shop/../x", "shop/a b", "shop?endpoint=x", "shop?color=red"] {
            assert!(Bucket::parse(wrong).is_err(), "{wrong}");
        }
    }
}
