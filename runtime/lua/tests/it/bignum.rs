//! `resty.openssl.bn`: large numbers.

use crate::said::check;

#[test]
fn openssl_numbers() {
    check(
        "local bn = require 'resty.openssl.bn'",
        &[
            ("bn.from_dec('18446744073709551616'):to_hex()", "010000000000000000"),
            (
                "bn.from_hex('FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF'):to_dec()",
                "340282366920938463463374607431768211455",
            ),
            (
                "bn.from_binary('\\1\\0'):to_dec(), bn.from_dec('256'):to_binary() == '\\1\\0'",
                "256 true",
            ),
            (
                "bn.from_dec('0'):to_dec(), bn.new(65537):to_hex(), tostring(bn.from_dec('-12'))",
                "0 010001 -12",
            ),
            (
                "bn.from_dec('5') < bn.from_dec('10'), bn.new(7) == bn.new('7'), bn.new(0):is_zero(), bn.new(3):is_odd()",
                "true true true true",
            ),
            ("#bn.new(1):to_binary(16), bn.new(256):to_binary(1)", "16 nil bn:to_binary"),
            ("bn.from_dec('x')", "nil bn.from_dec: set_dec"),
            ("bn.new(12):to_number() + 1", "13"),
        ],
    );
}

#[test]
fn openssl_arithmetic() {
    check(
        "local bn, n = require 'resty.openssl.bn', {}
        for index, digits in ipairs {
            '1336F675CC81E74EF5E8E25D940ED904759531985D5D9DC9F81818E811892F902BD23F0824128B2F330C5C7FD0A6A3A4506513270E269E0D37F2A74DE452E6B438',
            '0D3A0F21DDB66CAD4A268D116ECE1738F7D93D9C172411E20B8F6B0D549B6F03675A1600A35A',
            '95A09F76B5A170B33839263059F28C105D1FB17C2390C192CF',
            '3898D190F9EBDACC0CB1E29C658CDA1495E60AF593BD04CF0FD630F1F29D0DA9',
        } do n[index] = bn.from_hex(digits) end",
        &[
            (
                "(n[1] + n[2]):to_hex()",
                "1336F675CC81E74EF5E8E25D940ED904759531985D5D9DC9F81818F54B98516DE23EEC524A9F9C9E01239577A9E43FBB7476F5329D91AB61D361AAB53E68E75792",
            ),
            (
                "(n[2] - n[1]):to_hex()",
                "-1336F675CC81E74EF5E8E25D940ED904759531985D5D9DC9F81818DAD77A0DB2756591BDFD8579C064F52387F769078D2C53311B7EBB90B89C83A3E68A3CE610DE",
            ),
            (
                "(n[1] - n[1]):to_hex(), (n[1] - n[1]) == bn.new(0), bn.from_binary('\\5') == bn.from_dec('5')",
                "0 true true",
            ),
            (
                "(n[1] * n[2]):to_hex()",
                "FE261A953DBE577EA78CC1371CB2AFF018DE266D063A94FFDF5B689B52C90565A0C2EA6D63C77E54F55200D42FB1E393AF5285DF7DD7F5E4B352E05AB5357CCF91A3856C1DAA240F2E079FF0BCE6DA5DA18F071FD23BC4D2A8800146643DD0CF7A3AD9DB03B0",
            ),
            (
                "(n[1] / n[2]):to_hex()",
                "0173E4D1711464B84C780C0B69C232FDE3C13FD8698C025E8579C723",
            ),
            (
                "(n[1] % n[2]):to_hex()",
                "07CC95E0C37C2490A751B0928716BDF9739A9B22E9C9F337A21578F27ED5241BBB41DA4B68EA",
            ),
            (
                "(-n[1] / n[2]):to_hex(), (-n[1] % n[2]):to_hex()",
                "-0173E4D1711464B84C780C0B69C232FDE3C13FD8698C025E8579C723 -07CC95E0C37C2490A751B0928716BDF9739A9B22E9C9F337A21578F27ED5241BBB41DA4B68EA",
            ),
            (
                "(-n[1]):mod_mul(n[3], n[4]):to_hex()",
                "323B57C034F764385AF5F124FE1F39149B0571643874B544A76D1C7842BF3EF0",
            ),
            (
                "n[1]:mod_sub(n[2], n[4]):to_hex(), n[2]:mod_add(-1, n[4]):to_hex()",
                "1FF49861C8B3D196E4F6ED67BD066350E9B86975C35F69F0B857772FDF88B8C0 1C2FC7BD7BEABF9FADC5865C6BB587F960B2C56BE9024278DFC16CAC63AA992E",
            ),
            (
                "n[1]:mod_exp(n[3], n[4]):to_hex()",
                "368736CD4205DDD583FA847C1DC8CCF4AE1A919D4CB3AD73AEEDF86A869A2052",
            ),
            (
                "(bn.new(3) ^ 200):to_hex()",
                "1FD5863C3EB0469EC21A937A76F3432FFD73D97E447606B683ECF6F6E4A7AE225BFAFF1EAAF8B0A1",
            ),
            (
                "bn.gcd(n[1] * 12, n[2] * 12) == bn.gcd(n[1], n[2]) * 12",
                "true",
            ),
            (
                "bn.new(5):lshift(100):to_hex(), bn.new(5):lshift(100):rshift(101):to_dec()",
                "50000000000000000000000000 2",
            ),
            (
                "bn.new(1):div(0)",
                "nil bn:div: div by zero",
            ),
            (
                "pcall(bn.mod_mul, 1, 2, 0)",
                "false bn.mod_mul: div by zero",
            ),
            (
                "pcall(bn.add, 1, 'x')",
                "false bn.add: expect a bn instance or a number at #2",
            ),
            (
                "(bn.from_hex('7FFFFF800001000000000000') / bn.from_hex('800000800002000005')):to_hex()",
                "FFFFFD",
            ),
            (
                "(bn.from_hex('800000000000000000000003000000') / bn.from_hex('200000000000000000000001')):to_hex()",
                "03FFFFFF",
            ),
        ],
    );
}
