//! `gateway.crypto`, `gateway.jwt`, `gateway.uuid`, `gateway.time`, `gateway.metric`.

use crate::rig::*;

/// Each expression after `before`, and what `tostring` makes of its values.
fn check(before: &str, rows: &[(&str, &str)]) {
    let mut script = String::from(
        "local lines = {}
         local function say(...)
           local parts = {}
           for i = 1, select('#', ...) do parts[i] = tostring((select(i, ...))) end
           lines[#lines + 1] = table.concat(parts, ' ')
         end\n",
    );
    script.push_str(before);
    rows.iter().for_each(|(row, _)| script.push_str(&format!("\nsay({row})")));
    let got = answer(&format!("{script}\nreturn {{ body = table.concat(lines, '\\n') }}"));
    for ((row, want), got) in rows.iter().zip(got.split('\n')) {
        assert_eq!(got, *want, "{row}");
    }
    assert_eq!(got.split('\n').count(), rows.len(), "one line each");
}

const KEYS: &[(&str, &str)] = &[
    ("RSA", include_str!("../keys/rsa.pem")),
    ("RSA_PUBLIC", include_str!("../keys/rsa-public.pem")),
    ("P256", include_str!("../keys/p256.pem")),
    ("P256_PUBLIC", include_str!("../keys/p256-public.pem")),
    ("P384", include_str!("../keys/p384.pem")),
    ("ED25519", include_str!("../keys/ed25519.pem")),
    ("CERTIFICATE", include_str!("../keys/certificate.pem")),
];

fn with_keys(before: &str) -> String {
    let keys: String =
        KEYS.iter().map(|(name, pem)| format!("local {name} = [[{pem}]]\n")).collect();
    keys + before
}

#[test]
fn digests_and_secrets() {
    check(
        "local crypto, hex = gateway.crypto, gateway.hex.encode",
        &[
            ("hex(crypto.digest('sha256', 'hello')):sub(1, 16)", "2cf24dba5fb0a30e"),
            ("hex(crypto.digest('MD5', ''))", "d41d8cd98f00b204e9800998ecf8427e"),
            (
                "hex(crypto.hmac('SHA-256', 'key', 'The quick brown fox jumps over the lazy dog')):sub(1, 16)",
                "f7bc83f430538424",
            ),
            ("hex(crypto.random(4)), #crypto.random(0)", "04040404 0"),
            (
                "crypto.equal('a', 'a'), crypto.equal('a', 'b'), crypto.equal('a', 'ab')",
                "true false false",
            ),
            ("select(2, pcall(crypto.digest, 'none', ''))", "there is no hash \"none\""),
            (
                "select(2, pcall(crypto.digest, 'md5', nil))",
                "crypto.digest takes a string, not a nil",
            ),
            ("select(2, pcall(crypto.equal, 5, 'a'))", "crypto.equal takes a string, not a number"),
            ("(pcall(crypto.random, 2 ^ 30)), (pcall(crypto.random, -1))", "false false"),
        ],
    );
}

#[test]
fn signatures() {
    check(
        &with_keys(
            "local verify, b64 = gateway.crypto.verify, gateway.base64.decode
        local token = gateway.jwt.sign({}, P256, { algorithm = 'ES256' })
        local signed, signature = token:match '(.*)%.(.*)' signature = b64(signature)",
        ),
        &[
            ("verify('ES256', P256_PUBLIC, signed, signature)", "true"),
            (
                "verify('ES256', CERTIFICATE, signed, signature), verify('ES256', P256_PUBLIC, 'x', signature)",
                "true false",
            ),
            (
                "verify('ES256', P384, signed, signature)",
                "nil the key is of another kind than the algorithm",
            ),
            (
                "verify('HS256', P256_PUBLIC, signed, signature)",
                "nil the key is of another kind than the algorithm",
            ),
            (
                "verify('ES256', 'secret', signed, signature)",
                "nil the key is of another kind than the algorithm",
            ),
            ("verify('none', P256_PUBLIC, signed, '')", "nil an unknown algorithm"),
            (
                "verify('HS256', 'key', 'text', gateway.crypto.hmac('sha256', 'key', 'text'))",
                "true",
            ),
            ("verify('ES256', 5, '', '')", "nil a key is a string or a JWK"),
            ("verify('ES256', '-----BEGIN PUBLIC KEY-----\\nx', '', '')", "nil not a key"),
            ("verify('ES256', {}, '', '')", "nil keys of the kind nil  are not supported"),
        ],
    );
}

#[test]
fn tokens() {
    check(&with_keys("local jwt = gateway.jwt
        local function both(algorithm, private, public)
          local token = assert(jwt.sign({ sub = 'a', n = 1 }, private, { algorithm = algorithm, head = { kid = 'k' } }))
          local claims, head = jwt.verify(token, public)
          local torn = token:sub(1, -3) .. (token:sub(-2) == 'AA' and 'BB' or 'AA')
          local wrong, why = jwt.verify(torn, public)
          return claims.sub, claims.n, head.alg, head.kid, wrong, why
        end
        local token = jwt.sign({ sub = 'a' }, 'secret')"), &[
        ("both('HS256', 'secret', 'secret')", "a 1 HS256 k nil the signature is wrong"),
        ("both('HS512', 'secret', { kty = 'oct', k = 'c2VjcmV0' })", "a 1 HS512 k nil the signature is wrong"),
        ("both('RS256', RSA, RSA_PUBLIC)", "a 1 RS256 k nil the signature is wrong"),
        ("both('PS384', RSA, RSA_PUBLIC)", "a 1 PS384 k nil the signature is wrong"),
        ("both('ES256', P256, CERTIFICATE)", "a 1 ES256 k nil the signature is wrong"),
        ("both('ES384', P384, P384)", "a 1 ES384 k nil the signature is wrong"),
        ("both('EdDSA', ED25519, ED25519)", "a 1 EdDSA k nil the signature is wrong"),
        ("jwt.sign({}, 'secret', { algorithm = 'RS256' })", "nil the key is of another kind than the algorithm"),
        ("jwt.sign({}, RSA_PUBLIC, { algorithm = 'RS256' })", "nil a private key is needed"),
        ("jwt.sign({}, RSA)", "nil the key is of another kind than the algorithm"),
        ("jwt.sign({ f = print }, 'x')", "nil can't encode a function"),
        ("jwt.verify(token, 'other')", "nil the signature is wrong"),
        // Who knows a public key must not be able to sign with it.
        ("jwt.verify(jwt.sign({}, { kty = 'oct', k = gateway.base64.encode(RSA_PUBLIC):gsub('=', ''):gsub('%+', '-'):gsub('/', '_') }), RSA_PUBLIC)", "nil the key is of another kind than the algorithm"),
        ("jwt.verify('eyJhbGciOiJub25lIn0.e30.', 'secret')", "nil an unknown algorithm"),
        ("jwt.verify(token, 'secret', { algorithms = { 'RS256' } })", "nil the algorithm \"HS256\" is not allowed"),
        ("jwt.verify(token, 'secret', { algorithms = { 'HS256' } }).sub", "a"),
        ("jwt.decode(token).sub, select(2, jwt.decode(token)).typ", "a JWT"),
        ("(function() local head = select(2, jwt.decode(token)) head.alg = 'x' return select(2, jwt.decode(token)).alg end)()", "HS256"),
    ]);
}

#[test]
fn what_is_no_token() {
    check(
        "local jwt = gateway.jwt local token = gateway.jwt.sign({}, 'k')",
        &[
            ("jwt.verify('', 'k')", "nil not a token"),
            ("jwt.verify(nil, 'k')", "nil not a token"),
            ("jwt.verify('a.b', 'k')", "nil not a token"),
            ("jwt.verify('a.b.c.d', 'k')", "nil not a token"),
            ("jwt.verify('e30.e30.AA', 'k')", "nil not a token"),
            ("jwt.verify(token .. '=', 'k')", "nil not a token"),
            ("jwt.verify(token .. '\\n', 'k')", "nil not a token"),
            ("jwt.verify('WzFd.WzFd.AA', 'k')", "nil not a token"),
            ("jwt.verify(('x'):rep(70000), 'k')", "nil not a token"),
            (
                "jwt.verify(jwt.sign({}, 'k', { head = { crit = { 'b64' } } }), 'k')",
                "nil the token has critical extensions",
            ),
            ("jwt.decode('e30.e30.')", "nil not a token"),
            ("pcall(jwt.sign, 'x', 'k')", "false jwt.sign takes a table of claims"),
        ],
    );
}

#[test]
fn claims() {
    check("local function try(claims, options) local t = gateway.jwt.sign(claims, 'k')
             local good, why = gateway.jwt.verify(t, 'k', options) return good and 'good' or why end", &[
        ("try { exp = 10 }", "good"),
        ("try({ exp = 10 }, { now = 10 })", "the token has expired"),
        ("try({ exp = 10 }, { now = 12, leeway = 5 })", "good"),
        ("try({ exp = 10 }, { now = 15, leeway = 5 })", "the token has expired"),
        ("try { nbf = 1 }", "the token is not valid yet"),
        ("try({ nbf = 1 }, { leeway = 1 })", "good"),
        ("try { exp = '10' }", "\"exp\" is not a number"),
        ("try { nbf = {} }", "\"nbf\" is not a number"),
        ("try({ iss = 'a' }, { issuer = 'a' }), try({ iss = 'b' }, { issuer = 'a' }), try({}, { issuer = 'a' })", "good the issuer is another the issuer is another"),
        ("try({ iss = 'b' }, { issuer = { 'a', 'b' } })", "good"),
        ("try({ aud = 'a' }, { audience = 'a' }), try({ aud = { 'x', 'a' } }, { audience = { 'a', 'b' } })", "good good"),
        ("try({ aud = 'x' }, { audience = 'a' }), try({ aud = {} }, { audience = 'a' }), try({}, { audience = 'a' })", "the audience is another the audience is another the audience is another"),
        ("try({}, { require = { 'sub' } }), try({ sub = gateway.json.null }, { require = { 'sub' } })", "the claim \"sub\" is missing the claim \"sub\" is missing"),
        ("try({ sub = 'x' }, { require = { 'sub' } })", "good"),
        ("pcall(gateway.jwt.verify, 'x', 'k', 'options')", "false jwt.verify takes a table of options"),
    ]);
}

#[test]
fn sets_of_keys() {
    check(&with_keys("local jwt = gateway.jwt
        local set = { keys = { { kid = 'a', kty = 'oct', k = 'YQ' }, { kid = 'b', kty = 'oct', k = 'Yg', alg = 'HS256' } } }
        local function with(kid, key, algorithm)
          return (select(2, jwt.verify(jwt.sign({ x = 1 }, key, { head = { kid = kid }, algorithm = algorithm }), set)))
        end"), &[
        ("type(with('a', 'a')), type(with('b', 'b'))", "table table"),
        ("with('a', 'b')", "the signature is wrong"),
        ("with('c', 'a')", "unknown key"),
        ("with(nil, 'a')", "the token names no key"),
        ("with('b', 'b', 'HS512')", "the key is for another algorithm"),
        ("jwt.verify(jwt.sign({ x = 1 }, 'a'), { keys = { set.keys[1] } }).x", "1"),
    ]);
}

#[test]
fn identifiers() {
    check(
        "local uuid = gateway.uuid",
        &[
            ("uuid.v4()", "04040404-0404-4404-8404-040404040404"),
            ("uuid.v7()", "00000000-0000-7404-8404-040404040404"),
        ],
    );
    let rig = rig("return { request = function() return { body = gateway.uuid.v7() } end }");
    rig.world.now.set(1_645_557_742.0);
    let (result, mut exchange) = rig.request();
    result.unwrap();
    // RFC 9562, appendix A.6: the time of its example.
    assert_eq!(text(&mut exchange.response.body), "017f22e2-79b0-7404-8404-040404040404");
}

#[test]
fn times() {
    check(
        "local time = gateway.time",
        &[
            (
                "time.rfc3339(1290079655), time.rfc3339(1290079655.25)",
                "2010-11-18T11:27:35Z 2010-11-18T11:27:35.250Z",
            ),
            ("time.rfc3339(), time.http()", "1970-01-01T00:00:00Z Thu, 01 Jan 1970 00:00:00 GMT"),
            ("time.http(784111777)", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (
                "time.parse('2010-11-18T11:27:35Z'), time.parse('2010-11-18T13:27:35.5+02:00')",
                "1290079655 1290079655.5",
            ),
            (
                "time.parse('Sunday, 06-Nov-94 08:49:37 GMT'), time.parse('Sun Nov  6 08:49:37 1994')",
                "784111777 784111777",
            ),
            ("time.parse('yesterday')", "nil not a time"),
            ("pcall(time.http, 'x')", "false time.http takes seconds, not a string"),
            ("pcall(time.parse, 5)", "false time.parse takes a string, not a number"),
        ],
    );
}

#[test]
fn metrics() {
    let rig = rig("return { request = function()
           local m = gateway.metric
           for _ = 1, 2 do m.counter('hits', { b = 2, a = 'x' }):add() end
           m.counter('hits'):add(2.5)
           local g = m.gauge('depth') g:set(7) g:add(-1) g:add()
           m.histogram('size', nil, { 1, 10 }):observe(3)
           local out = {}
           for _, bad in ipairs {
             function() m.counter('hits'):add(-1) end, function() m.counter('hits'):set(1) end,
             function() m.counter('a b') end, function() m.counter(5) end, function() m.gauge('g', 'x') end,
             function() m.gauge('g', { a = {} }) end, function() m.gauge('g', { 'x' }) end,
             function() g:set('x') end, function() g:set(0 / 0) end, function() m.histogram('h', nil, { 2, 1 }) end,
           } do out[#out + 1] = select(2, pcall(bad)) end
           return { body = table.concat(out, '\\n') }
         end }");
    let (result, mut exchange) = rig.request();
    result.unwrap();
    let errors = text(&mut exchange.response.body).replace("filters/f0.lua:", "");
    let errors: Vec<&str> =
        errors.split('\n').map(|line| line.split_once(": ").unwrap_or(("", line)).1).collect();
    assert_eq!(
        errors,
        [
            "a counter only grows",
            "attempt to call method 'set' (a nil value)",
            "metric \"a b\": not a name",
            "a metric's name must be a string, not a number",
            "labels must be a table",
            "a label's value must be a string, not a table",
            "labels are named by strings",
            "set takes a number",
            "set takes a number",
            "metric \"h\": bounds are a list of numbers, each larger than the one before",
        ]
    );
    let recorded = rig.world.recorded.lock().unwrap();
    let labels = r#"[("a", "x"), ("b", "2")]"#;
    assert_eq!(
        *recorded,
        [
            format!("Counter hits {labels} [] add 1"),
            format!("Counter hits {labels} [] add 1"),
            "Counter hits [] [] add 2.5".into(),
            "Gauge depth [] [] set 7".into(),
            "Gauge depth [] [] add -1".into(),
            "Gauge depth [] [] add 1".into(),
            "Histogram size [] [1.0, 10.0] observe 3".into(),
        ]
    );
}
