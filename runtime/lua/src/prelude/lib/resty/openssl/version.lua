-- `resty.openssl.version`: as if this were OpenSSL 3, whose modules there are.
return {
  version_num = 0x30000000, version_text = "OpenSSL 3.0.0 (not: Pilotlight's own)",
  version = function() return "OpenSSL 3.0.0 (not: Pilotlight's own)" end,
  info = function() return nil end,
  OPENSSL_3X = true, OPENSSL_30 = true, OPENSSL_3_UP = true, OPENSSL_4X = false,
  OPENSSL_111 = false, VERSION = 0,
}
