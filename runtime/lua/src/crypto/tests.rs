//! Vectors of OpenSSL and of the standards.

use super::cipher::{Aes, Job, Mode, STOPPED};
use super::derive;
use super::hash::{Hash, Hasher};
use super::mac::hmac;

mod keys;

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

const FOX: &[u8] = b"The quick brown fox jumps over the lazy dog";

/// Of the fox: digest, HMAC with "key"; HMAC of "x" with a key longer than a block.
const HASHES: &[(&str, [&str; 3])] = &[
    (
        "md5",
        [
            "\
9e107d9d372bb6826bd81d3542a419d6",
            "\
80070713463e7749b90c2dc24911e275",
            "\
033c26afc9bb030281cd23a8890e9b08",
        ],
    ),
    (
        "sha1",
        [
            "\
2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "\
de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9",
            "\
e2e4a90d1cee5e796e99915a47e0c725cf932393",
        ],
    ),
    (
        "sha224",
        [
            "\
730e109bd7a8a32b1cb9d9a09aa2325d2430587ddbc0c38bad911525",
            "\
88ff8b54675d39b8f72322e65ff945c52d96379988ada25639747e69",
            "\
1cd40d2a3e192d962846c28d5235bf4bdbb1695aeb0f5a81931ecd52",
        ],
    ),
    (
        "SHA-256",
        [
            "\
d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592",
            "\
f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
            "\
a34abd1b081e75091b5f15447fb45ea6a1a7d624c190b880750d5d0f52ca715e",
        ],
    ),
    (
        "SHA2-384",
        [
            "\
ca737f1014a48f4c0b6dd43cb177b0afd9e5169367544c494011e3317dbf9a509cb1e5dc1e85a941bbee3d7f\
2afbc9b1",
            "\
d7f4727e2c0b39ae0f1e40cc96f60242d5b7801841cea6fc592c5d3e1ae50700582a96cf35e1e554995fe4e0\
3381c237",
            "\
5fd490dde9e045e0b0609d39a2caa73baf65675eb7709e98ccbd1eba6925ea4f6bfa364ea7796b1e80be941a\
2637ffd8",
        ],
    ),
    (
        "Sha512",
        [
            "\
07e547d9586f6a73f73fbac0435ed76951218fb7d0c8d788a309d785436bbb642e93a252a954f23912547d1e\
8a3b5ed6e1bfd7097821233fa0538f3db854fee6",
            "\
b42af09057bac1e2d41708e48a902e09b5ff7f12ab428a4fe86653c73dd248fb82f948a549f7b791a5b41915\
ee4d1ec3935357e4e2317250d0372afa2ebeeb3a",
            "\
3bea04514dec7eac85d846ec90cead0c22ff461ba7250c03635876766055b829aac0109c567fa359e5f177a9\
e8c30233a682a33467845ac6f966813635668f7a",
        ],
    ),
];

#[test]
fn hashes() {
    for (name, [digest, mac, long]) in HASHES {
        let hash = Hash::named(name.as_bytes()).unwrap();
        assert_eq!(hash.len() * 2, digest.len(), "{name}");
        assert_eq!(hex(&hash.digest(FOX)), *digest, "{name}");
        assert_eq!(hex(&hmac(hash, b"key", FOX)), *mac, "{name}");
        assert_eq!(hex(&hmac(hash, &[b'k'; 200], b"x")), *long, "{name}");
        let mut pieces = Hasher::new(hash);
        FOX.chunks(7).for_each(|piece| pieces.update(piece));
        assert_eq!(hex(&pieces.finish()), *digest, "{name}");
    }
    for none in ["", "sha", "sha25", "sha2560", "md4"] {
        assert!(Hash::named(none.as_bytes()).is_none(), "{none}");
    }
}

#[test]
fn derived_keys() {
    let pbkdf2 = |hash: Hash, len: usize| {
        let mut out = vec![0; len];
        derive::pbkdf2(hash, b"password", b"salt", 300, &mut out, &|| false).unwrap();
        hex(&out)
    };
    assert_eq!(
        pbkdf2(Hash::Sha256, 80),
        "bac6cf0eb54376c80163ca7bcd4a7549ede138b3257bec5ca11af90c9a11aa0094d1792d77e1ef4437c4dae67a98\
         788257f5bc4069a75f12c68845f0234ad82e8338be73222e9576d83d9e6336a3459d"
    );
    assert_eq!(
        pbkdf2(Hash::Md5, 40),
        "1e6322ba8deb66f54f6e80ad5fc3e27863c4097dea4a4fc1aa5e627cc4d651a88e9646ab7e7b21dd"
    );
    let stopped = derive::pbkdf2(Hash::Sha1, b"", b"", u32::MAX, &mut [0; 20], &|| true);
    assert_eq!(stopped, None);

    let mut key = [0; 32];
    let iv = derive::bytes_to_key(Hash::Md5, b"WhatSalt", b"secret", 1, &mut key, &|| false);
    assert_eq!(hex(&key), "0cd59794ddb256024639a38b694676e362c1946edc0c3abad03a914c0c3e296c");
    assert_eq!(hex(&iv.unwrap()), "2cbddd792a37224defc6bf1a0c508eda");
    let iv = derive::bytes_to_key(Hash::Sha256, b"", b"secret", 1, &mut key, &|| false);
    assert_eq!(hex(&key), "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
    assert_eq!(hex(&iv.unwrap()), "015e42ff678b2b90b743111a396ef850");
    assert!(derive::bytes_to_key(Hash::Md5, b"", b"", u32::MAX, &mut key, &|| true).is_none());

    // RFC 5869, appendix A.1.
    let (salt, info) = (unhex("000102030405060708090a0b0c"), unhex("f0f1f2f3f4f5f6f7f8f9"));
    let extracted = derive::extract(Hash::Sha256, &salt, &[0x0b; 22]);
    assert_eq!(hex(&extracted), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let mut out = [0; 42];
    derive::expand(Hash::Sha256, &extracted, &info, &mut out).unwrap();
    assert_eq!(
        hex(&out),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
    assert_eq!(derive::expand(Hash::Sha256, b"", b"", &mut vec![0; 255 * 32 + 1]), None);
}

const TEXT: &[u8] = b"the quick brown fox jumps over the lazy dog";

fn job<'a>(mode: &str, key: &'a [u8], iv: &'a [u8]) -> Job<'a> {
    let mode = Mode::named(mode.as_bytes()).unwrap();
    Job { mode, key, iv: &iv[..mode.iv().min(iv.len())], padding: true, aad: b"", stop: &|| false }
}

/// By `openssl enc`: mode, key, the text encrypted. The IV counts from 0 to 15.
const CIPHERS: &[(&str, &str, &str)] = &[
    (
        "ecb",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "\
60dcd4b2c50745b5a045a9b921e3d1cd974f7bac1045574b74c2049e65d2a8894a6b6117512f17c880de68a9\
e1003a74",
    ),
    (
        "ecb",
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "\
4b889e2dbd0dff231f5c3c4610ff6de3b4dae8511297ba2053728b7fd5b75508a84c08bdae7435f588bd5840\
386f458d",
    ),
    (
        "cbc",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "\
b91cd26487bcd9615e73c8209754023b8dab88c7fc0759e96b6e587d21137d4566774b37866d274044b01b15\
e367d6dd",
    ),
    (
        "cbc",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "\
dc5cf5b0c2750f7ffa6274c87f70682a9d1dae150a6848b31db40932a9582e3ff34ca15886fb6f1194c718b6\
88f656e3",
    ),
    (
        "cfb",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "\
249602ece8185bd5b129559bf4d88240b6a412b95a0537baf54b6d438ccc63eef9aa3e9b221da7d2cf483d",
    ),
    (
        "cfb128",
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "\
d261d6ad82c47a5eb6df456ad57e387e3dbc7bcbda77672eaded0637d99e3918a1e1f29a588a3b7c205d1b",
    ),
    (
        "cfb8",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "\
2411dd2d03e41420593c74adbbce0e2b27e94bc51073d661cba8aebca3ca0e86b18b44ee688cbb95c57b85",
    ),
    (
        "ofb",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "\
c3d75f7d854ce0befcd098e584b9416a87a92e1034a4cad625186a020a921ea829067b8a44cef3dc7209ba",
    ),
    (
        "ctr",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "\
249602ece8185bd5b129559bf4d88240c94ef66eed96fedaa91124921e85832bfe8fafe564f9e962dda1e7",
    ),
    (
        "ctr",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "\
c3d75f7d854ce0befcd098e584b9416a1d358afcf9fc4498b884a50f2f5fb115a7445176376dbebc4d19c1",
    ),
];

#[test]
fn modes_of_aes() {
    let iv: Vec<u8> = (0..16).collect();
    for (mode, key, want) in CIPHERS {
        let key = unhex(key);
        let job = job(mode, &key, &iv);
        let (made, _) = job.encrypt(TEXT.to_vec()).unwrap();
        assert_eq!(hex(&made), *want, "{mode}");
        assert_eq!(job.decrypt(made, b"").as_deref(), Ok(TEXT), "{mode}");
    }
}

#[test]
fn long_texts_are_done_in_pieces_and_can_be_stopped() {
    let text: Vec<u8> = (0..300_001u32).map(|n| (n * 7) as u8).collect();
    let (key, iv) = ([1; 32], [2; 16]);
    for mode in ["ecb", "cbc", "cfb", "cfb8", "ofb", "ctr", "gcm"] {
        let mut job = job(mode, &key, &iv);
        let (made, tag) = job.encrypt(text.clone()).unwrap();
        assert_eq!(job.decrypt(made, &tag).as_ref(), Ok(&text), "{mode}");
        job.stop = &|| true;
        assert_eq!(job.encrypt(text.clone()), Err(STOPPED), "{mode}");
        assert_eq!(job.decrypt(vec![0; 320_000], &tag), Err(STOPPED), "{mode}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (key, iv) = ([1; 16], [2; 16]);
    let wrong = |job: Job<'_>, text: &[u8]| job.decrypt(text.to_vec(), b"").unwrap_err();
    assert_eq!(wrong(job("cbc", &key[..15], &iv), &[0; 16]), "bad key length");
    assert_eq!(wrong(job("cbc", &key, &iv[..15]), &[0; 16]), "bad iv length");
    assert_eq!(wrong(job("cbc", &key, &iv), &[0; 15]), "wrong final block length");
    assert_eq!(wrong(job("cbc", &key, &iv), b""), "wrong final block length");
    assert_eq!(wrong(job("cbc", &key, &iv), &[0; 16]), "bad decrypt");
    assert_eq!(wrong(job("gcm", &key, b""), b""), "bad iv length");
    let unpadded = Job { padding: false, ..job("cbc", &key, &iv) };
    assert_eq!(unpadded.encrypt(vec![0; 15]), Err("wrong final block length"));
    assert_eq!(unpadded.encrypt(vec![0; 16]).unwrap().0.len(), 16);
    assert!(Aes::new(&[0; 20]).is_none());
}

/// The specification's test cases 4 to 6: IVs of 12, 8 and 60 bytes.
#[test]
fn gcm() {
    let key = unhex("feffe9928665731c6d6a8f9467308308");
    let text = unhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6\
         b525b16aedf5aa0de657ba637b39",
    );
    let aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    for (iv, want, tag) in [
        (
            "cafebabefacedbaddecaf888",
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5a\
             ac84aa051ba30b396a0aac973d58e091",
            "5bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            "cafebabefacedbad",
            "61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c742373806900e49f24b22b097544\
             d4896b424989b5e1ebac0f07c23f4598",
            "3612d2e79e3b0785561be14aaca2fccb",
        ),
        (
            "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e242\
             9a6b525416aedbf5a0de6a57a637b39b",
            "8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca701e4a9a4fba43c90ccdcb281\
             d48c7c6fd62875d2aca417034c34aee5",
            "619cc5aefffe0bfa462af43c1699d050",
        ),
    ] {
        let iv = unhex(iv);
        let job = Job { aad: &aad, iv: &iv, ..job("gcm", &key, &iv) };
        let (made, made_tag) = job.encrypt(text.clone()).unwrap();
        assert_eq!((hex(&made).as_str(), hex(&made_tag).as_str()), (want, tag));
        assert_eq!(job.decrypt(made.clone(), &made_tag).as_ref(), Ok(&text));
        assert_eq!(job.decrypt(made.clone(), &made_tag[..8]).as_ref(), Ok(&text));
        for bad in [&made_tag[..7], &[0; 16], b""] {
            assert_eq!(job.decrypt(made.clone(), bad), Err("bad decrypt"));
        }
    }
}

#[test]
fn wrapped_keys() {
    let iv = [0xa6; 8];
    for (key, want) in [
        ("2b7e151628aed2a6abf7158809cf4f3c", "e601905daa5f5beafd315ed99ac7249efbdd523681deac95"),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "96285d16ec9e0a45db9c8e93045391bd17ab021c29db6fd0",
        ),
    ] {
        let key = unhex(key);
        let job = job("wrap", &key, &iv);
        let (made, _) = job.encrypt(b"sixteen byte key".to_vec()).unwrap();
        assert_eq!(hex(&made), want);
        assert_eq!(job.decrypt(made.clone(), b"").as_deref(), Ok(&b"sixteen byte key"[..]));
        let mut torn = made;
        torn[3] ^= 1;
        assert_eq!(job.decrypt(torn, b""), Err("bad decrypt"));
        assert_eq!(job.encrypt(vec![0; 8]), Err("wrong final block length"));
        assert_eq!(job.encrypt(vec![0; 17 * 1024]), Err("wrong final block length"));
    }
}

#[test]
fn equal_texts() {
    assert!(super::equal(b"", b"") && super::equal(b"abc", b"abc"));
    assert!(!super::equal(b"abc", b"abd") && !super::equal(b"abc", b"ab"));
}
