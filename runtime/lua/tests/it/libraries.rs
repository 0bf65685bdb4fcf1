//! Libraries that come with the gateway, as other libraries call them.

use crate::said::{access_with, check, said, said_by};

const KEYS: &[(&str, &str)] = &[
    ("RSA", include_str!("../keys/rsa.pem")),
    ("RSA_PUBLIC", include_str!("../keys/rsa-public.pem")),
    ("P256", include_str!("../keys/p256.pem")),
    ("P256_PUBLIC", include_str!("../keys/p256-public.pem")),
    ("P384", include_str!("../keys/p384.pem")),
    ("ED25519", include_str!("../keys/ed25519.pem")),
    ("P521", include_str!("../keys/p521.pem")),
    ("CERTIFICATE", include_str!("../keys/certificate.pem")),
];

/// The keys as Lua's locals.
fn with_keys(before: &str) -> String {
    let keys: String =
        KEYS.iter().map(|(name, pem)| format!("local {name} = [[{pem}]]\n")).collect();
    keys + before
}

#[test]
fn resty_string() {
    check(
        "local str, random = require 'resty.string', require 'resty.random'",
        &[
            ("str.to_hex('\\0\\255a')", "00ff61"),
            ("str.atoi('32'), str.atoi('3x'), str.atoi('')", "32 -1 -1"),
            ("#random.bytes(16), #random.bytes(0), #random.bytes(5, true)", "16 0 5"),
            ("random.bytes(-1), random.bytes(2 ^ 30)", "nil nil"),
        ],
    );
}

#[test]
fn hashes_are_fed_and_reset() {
    for (name, empty) in [
        ("md5", "d41d8cd98f00b204e9800998ecf8427e"),
        ("sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("sha224", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"),
        ("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        let before = format!(
            "require 'resty.sha'
             local hex, hash = require 'resty.string'.to_hex, require 'resty.{name}':new()"
        );
        check(
            &before,
            &[
                ("hex(hash:final())", empty),
                ("hash:update('hel'), hash:update('lo')", "true true"),
                ("hex(hash:final()) == hex(hash:final())", "true"),
                ("hash:reset(), hex(hash:final())", &format!("true {empty}")),
                ("pcall(hash.update, { state = {} }, 'x')", "true false"),
                ("pcall(hash.update, {}, 'x')", "true false"),
                ("pcall(hash.final, { hash = 'none' })", "true nil"),
                ("pcall(hash.final, { hash = 'none', key = 'k' })", "true nil"),
                ("pcall(hash.update, hash, nil)", "true false"),
            ],
        );
    }
    check(
        "local a, b = require 'resty.sha512':new(), require 'resty.sha384':new()",
        &[
            ("#a:final(), #b:final(), a:update(''), getmetatable(a.state)", "64 48 true false"),
            (
                "a:update(('x'):rep(200000)), require 'resty.string'.to_hex(a:final()):sub(1, 16)",
                "true 810c4d8e4bc69c27",
            ),
        ],
    );
}

#[test]
fn resty_hmac() {
    check(
        "local hmac = require 'resty.hmac'",
        &[
            (
                "hmac:new('key', hmac.ALGOS.SHA256):final('The quick brown fox jumps over the lazy dog', true)",
                "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
            ),
            ("hmac:new('key'):final('', true)", "63530468a04e386459855da0063b6596"),
            (
                "(function() local m = hmac:new('k', hmac.ALGOS.SHA1) m:update('a') m:update('b') local one = m:final() m:reset() return one == m:final('ab') end)()",
                "true",
            ),
            ("hmac:new('k', 'none')", "nil"),
            ("pcall(hmac.new, hmac)", "false a key is a string, not a nil"),
            ("hmac:new('k'):final(12, true) == hmac:new('k'):final('12', true)", "true"),
        ],
    );
}

/// The expectations are those of lua-resty-string's own documentation and tests.
#[test]
fn resty_aes() {
    let before = "local aes, hex = require 'resty.aes', require 'resty.string'.to_hex
        local function both(a, s, ...) local made = a:encrypt(s, ...)
          if type(made) == 'table' then return hex(made[1]), hex(made[2]), a:decrypt(made[1], made[2], ...) end
          return hex(made), a:decrypt(made)
        end";
    check(
        before,
        &[
            ("both(aes:new('secret'), 'hello')", "7b47a4dbb11e2cddb2f3740c9e3a552b hello"),
            (
                "both(aes:new('secret', 'WhatSalt'), 'hello')",
                "f72db89f8e19326d8da4928be106705c hello",
            ),
            ("aes:new('secret', 'abc')", "nil salt must be 8 characters or nil"),
            (
                "both(aes:new('secret', nil, aes.cipher(256, 'ecb'), aes.hash.sha1), 'hello')",
                "927148b31f0e89696a222489403f540d hello",
            ),
            (
                "both(aes:new('secret', nil, aes.cipher(256, 'ecb'), aes.hash.sha1, 5), 'hello')",
                "d1a9b6e59b8980e783df223889563bee hello",
            ),
            (
                "both(aes:new('secret', nil, aes.cipher(256, 'gcm'), aes.hash.sha256, 1, 12), 'hello')",
                "4acef84443 bcecc29fb0d8b5c895e21f6ea89681a2 hello",
            ),
            (
                "select(3, both(aes:new('secret', nil, aes.cipher(256, 'gcm'), aes.hash.sha256, 1), 'hello', 'aad'))",
                "hello",
            ),
            (
                "(function() local a = aes:new('secret', nil, aes.cipher(256, 'gcm')) local e = a:encrypt('hi') return a:decrypt(e[1], e[2]:reverse()) end)()",
                "nil EVP_DecryptFinal_ex failed",
            ),
            (
                "aes:new('hel', nil, aes.cipher(128, 'cbc'), { iv = ('x'):rep(16) })",
                "nil bad key length",
            ),
            (
                "aes:new(('k'):rep(16), nil, aes.cipher(128, 'cbc'), { iv = ('x'):rep(21) })",
                "nil bad iv length",
            ),
            ("aes:new(('k'):rep(16), nil, aes.cipher(128, 'cbc'), {})", "nil iv is needed"),
            (
                "select(2, both(aes:new('secret', nil, aes.cipher(128, 'cbc'), { iv = ('x'):rep(16), method = ngx.md5_bin }), 'hello'))",
                "hello",
            ),
            (
                "#aes:new(('k'):rep(32), nil, aes.cipher(256, 'cbc'), { iv = ('x'):rep(16) }, nil, nil, false):encrypt(('x'):rep(32))",
                "32",
            ),
            (
                "aes:new(('k'):rep(32), nil, aes.cipher(256, 'cbc'), { iv = ('x'):rep(16) }, nil, nil, false):encrypt('x')",
                "nil EVP_EncryptFinal_ex failed",
            ),
            ("aes.cipher(100), aes.cipher(128, 'none'), aes.cipher(192).size", "nil nil 192"),
            (
                "pcall(aes.encrypt, 'hello')",
                "false bad argument #1 self: table expected, got string",
            ),
        ],
    );
}

#[test]
fn tables_threads_and_buffers() {
    check("local new, clear, nkeys, clone = require 'table.new', require 'table.clear', require 'table.nkeys', require 'table.clone'
           local isempty, isarray, buffer = require 'table.isempty', require 'table.isarray', require 'string.buffer'
           local exdata = require 'thread.exdata'", &[
        ("#new(4, 0), nkeys { 1, 2, a = 1 }, nkeys {}", "0 3 0"),
        ("isempty {}, isempty { false }, isarray {}, isarray { 1 }, isarray { a = 1 }", "true false true true false"),
        ("clone({ 7, a = 8 }).a, getmetatable(clone(setmetatable({}, {})))", "8 nil"),
        ("pcall(isarray, 5)", "false bad argument #1 to 'isarray' (table expected, got number)"),
        ("exdata(), exdata(5), exdata(), coroutine.wrap(function() return exdata() end)()", "nil nil 5 nil"),
        ("buffer.new():put('a', 1, 'b'):tostring(), #buffer.new(100):put('xyz')", "a1b 3"),
        ("buffer.new().reserve, buffer.new().ref, buffer.new().commit, buffer.decode", "nil nil nil nil"),
    ]);
}

#[test]
fn openssl_digests_and_macs() {
    check("local hex = require 'resty.string'.to_hex
           local digest, hmac, mac = require 'resty.openssl.digest', require 'resty.openssl.hmac', require 'resty.openssl.mac'", &[
        ("hex(digest.new('sha256'):final('hello')):sub(1, 16)", "2cf24dba5fb0a30e"),
        ("hex(digest.new():final()):sub(1, 8), digest.istype(digest.new()), digest.istype({})", "da39a3ee true false"),
        ("(function() local d = digest.new('md5') d:update('a', 'b') local one = d:final() d:reset() return one == d:final('ab') end)()", "true"),
        // What it was asked it was also fed.
        ("(function() local d = digest.new('md5') local a, b, c, e = d:final('a'), d:final(), d:final('b'), digest.new('md5')
            return a == b, a == e:final('a'), c == d:final(), e:update('b'), c == e:final() end)()", "true true true true true"),
        ("digest.new('md5'):final({})", "false digest:final: a hash and a string are needed"),
        ("digest.new(5)", "nil digest.new: invalid digest type \"5\""),
        ("pcall(hmac.new, 5)", "false a key is a string, not a number"),
        ("digest.new('none')", "nil digest.new: invalid digest type \"none\""),
        ("hex(hmac.new('key', 'sha256'):final('The quick brown fox jumps over the lazy dog')):sub(1, 16)", "f7bc83f430538424"),
        ("hmac.new('key', 'none')", "nil hmac.new: invalid digest type \"none\""),
        ("hex(mac.new('key', 'HMAC', nil, 'sha512'):final('The quick brown fox jumps over the lazy dog')):sub(1, 16)", "b42af09057bac1e2"),
        ("mac.new('key', 'CMAC', 'aes-128-cbc')", "nil mac.new: invalid mac type \"CMAC\""),
        ("mac.new('key', 'HMAC', nil, 'none')", "nil mac.new: invalid cipher or digest type"),
        ("require 'resty.openssl'.get_fips_mode(), require 'resty.openssl.version'.OPENSSL_3_UP", "false true"),
        ("#require 'resty.openssl.rand'.bytes(12), require 'resty.openssl.rand'.bytes('x')", "12 nil rand.bytes: expect a number at #1"),
    ]);
}

#[test]
fn openssl_ciphers() {
    check("local hex, cipher = require 'resty.string'.to_hex, require 'resty.openssl.cipher'
           local key, iv = ('k'):rep(32), ('i'):rep(16)
           local c, g = cipher.new('aes-256-cbc'), cipher.new('aes-256-gcm')", &[
        ("c.key_size, c.iv_size, c.block_size, g.iv_size, g.block_size", "32 16 16 12 1"),
        ("c:decrypt(key, iv, c:encrypt(key, iv, 'hello'))", "hello"),
        ("c:encrypt('short', iv, 'x')", "nil cipher:init: incorrect key size, expect 32"),
        ("c:encrypt(key, 'short', 'x')", "nil cipher:init: incorrect iv size, expect 16"),
        ("c:decrypt(key, iv, ('x'):rep(16))", "nil cipher:final: EVP_CipherFinal_ex: bad decrypt"),
        ("c:encrypt(key, iv, 'x', true)", "nil cipher:final: EVP_CipherFinal_ex: wrong final block length"),
        ("(function() local made = g:encrypt(key, iv:sub(1, 12), 'hello', false, 'aad') local tag = g:get_aead_tag(16)
            return g:decrypt(key, iv:sub(1, 12), made, false, 'aad', tag), g:decrypt(key, iv:sub(1, 12), made, false, 'other', tag) end)()", "hello nil cipher:final: EVP_CipherFinal_ex: bad decrypt"),
        ("(function() c:init(key, iv, { is_encrypt = true }) return c:update('hel', 'lo') .. c:final() == c:encrypt(key, iv, 'hello') end)()", "true"),
        ("cipher.new('aes-512-cbc')", "nil cipher.new: invalid cipher type \"aes-512-cbc\""),
        ("cipher.new('aes-128-cbc'):final()", "nil cipher:update: cipher not initalized, call cipher:init first"),
        ("hex((c:derive('secret', 'WhatSalt', 1, 'md5'))):sub(1, 16)", "0cd59794ddb25602"),
        ("(function() local w = cipher.new('aes-128-wrap') local k, v = ('k'):rep(16), ('\\166'):rep(8) return w:decrypt(k, v, w:encrypt(k, v, 'sixteen byte key', false), false) end)()", "sixteen byte key"),
    ]);
}

#[test]
fn openssl_kdf() {
    check("local hex, kdf = require 'resty.string'.to_hex, require 'resty.openssl.kdf'", &[
        ("hex(kdf.new('PBKDF2'):derive(16, { digest = 'sha256', pass = 'password', salt = 'salt', iter = 300 }))", "bac6cf0eb54376c80163ca7bcd4a7549"),
        ("hex(kdf.derive { type = kdf.PBKDF2, outlen = 16, pass = 'password', salt = 'salt', pbkdf2_iter = 300, md = 'sha256' })", "bac6cf0eb54376c80163ca7bcd4a7549"),
        ("hex(kdf.new('HKDF'):derive(42, { digest = 'sha256', mode = kdf.HKDEF_MODE_EXTRACT_AND_EXPAND, key = ('\\11'):rep(22),
            salt = '\\0\\1\\2\\3\\4\\5\\6\\7\\8\\9\\10\\11\\12', info = '\\240\\241\\242\\243\\244\\245\\246\\247\\248\\249' })):sub(1, 16)", "3cb25f25faacd57a"),
        ("#kdf.new('HKDF'):derive(32, { digest = 'sha256', mode = kdf.HKDEF_MODE_EXTRACT_ONLY, key = 'x', salt = '' })", "32"),
        ("kdf.new('SCRYPT')", "nil kdf.new: invalid kdf type \"SCRYPT\""),
        ("kdf.new('HKDF'):derive(1e6, { digest = 'sha256', key = 'x', salt = '', info = '' })", "nil kdf:derive: a length out of range"),
        ("kdf.derive { outlen = 1 }", "nil kdf.derive: \"type\" must be set"),
    ]);
}

/// As lua-resty-http shows a client's certificate: what ngx.ssl has read, under OpenSSL's types.
#[test]
fn tokens_under_types_of_openssl() {
    let script = with_keys(
        "local ffi, ssl = require 'ffi', require 'ngx.ssl'
        local chain, x509 = require 'resty.openssl.x509.chain', require 'resty.openssl.x509'
        local pkey, base = require 'resty.openssl.pkey', require 'resty.core.base'
        local certificate = ssl.parse_pem_cert(CERTIFICATE .. CERTIFICATE)
        local secret = ssl.parse_pem_priv_key(P256)
        local all = chain.dup(ffi.cast('OPENSSL_STACK*', certificate))
        say(#all, chain.istype(all), #all:all(), all:count(), all[2]:to_PEM() == CERTIFICATE)
        local key = pkey.new(ffi.cast('EVP_PKEY*', secret))
        ffi.gc(key.ctx, nil)
        say(key:is_private(), x509.dup(all[1].ctx):check_private_key(key))
        say(chain.dup(ffi.cast('OPENSSL_STACK*', secret)))
        say(chain.dup(ffi.cast('OPENSSL_STACK*', nil)))
        say(pkey.new(ffi.cast('EVP_PKEY*', nil)))
        say(chain.new():add(all[1]), chain.new():add(1))
        say(require 'resty.openssl.ssl'.from_socket(ngx.socket.tcp()))
        say(require 'resty.openssl.ssl'.from_socket())
        local buffer = base.get_string_buf(3)
        ffi.copy(buffer, 'abc')
        say(ffi.string(base.get_string_buf(8), 3), ffi.sizeof(base.get_string_buf(5000)), base.get_size_ptr()[0])",
    );
    let absent = "nil x509.chain.dup: expect certificates of ngx.ssl's at #1";
    let want = [
        "2 true 2 2 true",
        "true true",
        absent,
        absent,
        "nil pkey.new: expect a key of ngx.ssl's at #1",
        "true nil x509.chain:add: expect a x509 instance at #1",
        "nil ssl.from_socket: closed",
        "nil ssl.from_socket: closed",
        "abc 5000 0ULL",
    ];
    assert_eq!(said_by(&access_with(&script, &[], true)), want.join("\n"));
}

/// A number that is no token opens none, where scripts have no way to a pointer.
#[test]
fn numbers_are_no_tokens() {
    let script = with_keys(
        "local ssl, chain = require 'ngx.ssl', require 'resty.openssl.x509.chain'
        local pkey, base = require 'resty.openssl.pkey', require 'resty.core.base'
        local certificate, secret = ssl.parse_pem_cert(CERTIFICATE), ssl.parse_pem_priv_key(P256)
        say(#chain.dup(certificate), pkey.new(secret):is_private(), base.get_string_buf)
        for number = 0, 9 do
          if chain.dup(number) or chain.dup(number + 0LL) or pkey.new(number + 0LL) then say(number) end
        end",
    );
    assert_eq!(said_by(&access_with(&script, &[], false)), "1 true nil");
}

/// Debian's names of what is all OpenSSL elsewhere.
#[test]
fn debians_names() {
    check(
        "local str = require 'nginx.string'",
        &[
            (
                "require 'nginx.sha256' == require 'resty.sha256', require 'nginx.aes' ~= nil",
                "true true",
            ),
            ("str.to_hex(require 'nginx.md5':new():final())", "d41d8cd98f00b204e9800998ecf8427e"),
            ("#require 'nginx.random'.bytes(5)", "5"),
        ],
    );
}

#[test]
fn openssl_keys() {
    check(&with_keys("local pkey, digest = require 'resty.openssl.pkey', require 'resty.openssl.digest'
        local rsa, public, ec, ed = pkey.new(RSA), pkey.new(RSA_PUBLIC), pkey.new(P256), pkey.new(ED25519)"), &[
        ("rsa:is_private(), public:is_private(), rsa:get_size(), rsa:get_key_type().sn", "true false 256 rsaEncryption"),
        ("rsa:to_PEM('public') == RSA_PUBLIC, rsa:to_PEM('private') == RSA, public:to_PEM('private')", "true true nil pkey:tostring: not a private key"),
        ("public:verify(rsa:sign('text', 'sha256'), 'text', 'sha256')", "true"),
        ("public:verify(rsa:sign('text', 'sha256'), 'other', 'sha256')", "false pkey:verify: the signature is wrong"),
        ("public:verify(rsa:sign('text', 'sha384', pkey.PADDINGS.RSA_PKCS1_PSS_PADDING), 'text', 'sha384', pkey.PADDINGS.RSA_PKCS1_PSS_PADDING)", "true"),
        ("public:sign('text')", "nil pkey:sign: missing private key"),
        ("(function() local d = digest.new('sha512') d:update('te', 'xt') return public:verify(rsa:sign(d), 'text', 'sha512') end)()", "true"),
        ("#ec:sign('text', 'sha256', nil, { ecdsa_use_raw = true })", "64"),
        ("ec:verify(ec:sign('text', 'sha256', nil, { ecdsa_use_raw = true }), 'text', 'sha256', nil, { ecdsa_use_raw = true })", "true"),
        ("ec:verify(ec:sign('text'), 'text')", "true"),
        ("ec:verify('short', 'text', 'sha256', nil, { ecdsa_use_raw = true })", "nil pkey:sign: ecdsa.sig_raw2der: not a signature of this kind of key"),
        ("ed:verify(ed:sign('text'), 'text'), #ed:sign('text')", "true 64"),
        ("pkey.new('no key')", "nil pkey.new:load_key: not a key"),
        ("pkey.new(P521)", "nil pkey.new:load_key: only RSA, P-256, P-384 and Ed25519 keys are supported"),
        ("pkey.new(RSA_PUBLIC, { format = 'PEM', type = 'pr' })", "nil pkey.new:load_key: not a private key"),
        ("pkey.new()", "nil pkey.new:new_key: making keys is not supported"),
        ("pkey.new(rsa:tostring('private', 'JWK'), { format = 'JWK' }):to_PEM('private') == RSA", "true"),
        ("pkey.new(ec:tostring('private', 'JWK')):to_PEM('private') == P256", "true"),
        ("pkey.new(ed:tostring('public', 'JWK'), { format = 'JWK' }):to_PEM() == ed:to_PEM()", "true"),
        ("pkey.new('{', { format = 'JWK' })", "nil pkey.new:load_key: jwk:load_jwk: error decoding JSON from JWK: EOF while parsing an object at line 1 column 1"),
        ("pkey.new('{\"kty\":\"EC\",\"crv\":\"P-521\"}', { format = 'JWK' })", "nil pkey.new:load_key: jwk:load_jwk: keys of the kind EC P-521 are not supported"),
        ("rsa:get_parameters().e:to_number(), #rsa:get_parameters().n:to_binary(), rsa:get_parameters().d ~= nil", "65537 256 true"),
        ("pkey.new { type = 'RSA', params = public:get_parameters() }:to_PEM() == RSA_PUBLIC", "true"),
        ("rsa:encrypt('x')", "nil pkey:encrypt: not supported"),
        ("pkey.istype(rsa), pkey.istype {}", "true false"),
    ]);
}

#[test]
fn openssl_certificates() {
    check(&with_keys("local x509, pkey = require 'resty.openssl.x509', require 'resty.openssl.pkey'
        local hex, cert = require 'resty.string'.to_hex, require 'resty.openssl.x509'.new(CERTIFICATE)"), &[
        ("cert:get_version(), cert:get_serial_number():to_hex(), cert:get_signature_name()", "3 1234567890ABCDEF ecdsa-with-SHA256"),
        ("cert:get_subject_name():tostring()", "C=DE/CN=example.com/O=Pilotlight/OU=Tests"),
        ("cert:get_issuer_name():find('CN').blob, cert:get_subject_name():find('UID')", "example.com nil"),
        ("cert:get_subject_name():all().O.ln", "organizationName"),
        ("cert:get_not_after() - cert:get_not_before()", "3153600000"),
        ("cert:get_pubkey():to_PEM() == pkey.new(P256):to_PEM()", "true"),
        ("cert:check_private_key(pkey.new(P256)), cert:check_private_key(pkey.new(RSA))", "true false x509:check_private_key: key values mismatch"),
        ("cert:verify(pkey.new(P256_PUBLIC)), cert:verify(pkey.new(P384))", "true false"),
        ("#cert:digest('sha256'), #cert:digest(), #cert:pubkey_digest('sha1'), #cert:digest('RSA-SHA512')", "32 20 20 64"),
        ("cert:to_PEM() == CERTIFICATE, x509.new(cert:tostring('DER'), 'DER'):to_PEM() == CERTIFICATE", "true true"),
        ("cert:get_subject_alt_name():all().IP, cert:get_extension_critical('basicConstraints')", "192.0.2.1 true"),
        ("cert:get_extension('subjectAltName').sn, cert:get_extension('keyUsage')", "nil nil"),
        ("x509.new('nothing')", "nil x509.new: not a certificate"),
        ("x509.new(RSA)", "nil x509.new: not a certificate"),
    ]);
}

#[test]
fn resty_evp() {
    check(
        &with_keys(
            "local evp = require 'resty.evp'
        local cert, public = evp.Cert:new(CERTIFICATE), evp.PublicKey:new(RSA_PUBLIC)
        local signer, verifier = evp.ECSigner:new(P256), evp.ECVerifier:new(cert)
        local rsa, rsa_verifier = evp.RSASigner:new(RSA), evp.RSAVerifier:new(public)
        local pss = evp.CONST.RSA_PKCS1_PSS_PADDING",
        ),
        &[
            (
                "verifier:verify('text', signer:get_raw_sig(signer:sign('text', 'SHA256')), 'SHA256')",
                "true",
            ),
            (
                "verifier:verify('other', signer:get_raw_sig(signer:sign('text', 'SHA256')), 'SHA256')",
                "false Verification failed",
            ),
            (
                "verifier:verify('text', 'short', 'SHA256')",
                "nil signature length != 2 * order length",
            ),
            ("rsa_verifier:verify('text', rsa:sign('text', 'SHA512'), 'SHA512')", "true"),
            (
                "evp.RSAVerifier:new(public, pss):verify('text', evp.RSASigner:new(RSA, nil, pss):sign('text', 'SHA256'), 'SHA256')",
                "true",
            ),
            ("#cert:get_der() > 300, #cert:get_fingerprint('SHA256')", "true 95"),
            ("evp.Cert:new('x'), (evp.PublicKey:new('x'))", "nil nil"),
            ("evp.RSADecryptor:new(RSA)", "nil RSA encryption is not supported"),
            ("evp.RSASigner:new(P256)", "nil not a private key of this kind"),
        ],
    );
}

#[test]
fn zlib() {
    let got = said(
        "local zlib, buffer = require 'ffi-zlib', require 'string.buffer'
         local function through(fn, s, ...)
           local input, output = buffer.new():set(s), buffer.new()
           local ok, why = fn(function(size) local d = input:get(size) return d ~= '' and d or nil end,
             function(d) return output:put(d) end, 100, ...)
           return ok and output:get(), why
         end
         local text = ('hello world '):rep(1000)
         local packed = through(zlib.deflateGzip, text)
         say(#packed < 200, packed:byte(1, 2))
         say(through(zlib.inflateGzip, packed) == text)
         say(through(zlib.inflateGzip, through(zlib.deflateGzip, text, { windowBits = -15, level = 9 }), -15) == text)
         say(through(zlib.inflateGzip, 'no gzip at all'))
         say(through(zlib.inflateGzip, packed:sub(1, -9)))
         say(zlib.crc('hello, world'), zlib.adler('Wikipedia', 1))",
    );
    assert_eq!(
        got,
        "true 31 139\ntrue\ntrue\nfalse INFLATE: data error\nfalse INFLATE: no input bytes\n\
         4289425978 300286872"
    );
}
